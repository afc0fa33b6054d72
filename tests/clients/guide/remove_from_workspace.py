# get the connection input details
# retrieve the authorization token
headers = wl.auth.auth_header()
url = f"{APIURL}/v1/api/connections/remove_from_workspace"
data = {
'workspace_id': workspace_id,
'connection_id': connection_input_id
}
display(requests.post(url, headers=headers, json=data))
