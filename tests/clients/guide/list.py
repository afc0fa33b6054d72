# retrieve the authorization token
headers = wl.auth.auth_header()
url = f"{APIURL}/v1/api/connections/list"
# output connection
data = {
'workspace_id': workspace_id
}
response=requests.post(url, headers=headers, json=data).json()
display(response)
