# get the connection input details
# retrieve the authorization token
headers = wl.auth.auth_header()
url = f"{APIURL}/v1/api/connections/get_by_id"
data = {
'id': bigquery_connection_input_name
}
display(requests.post(url, headers=headers, json=data).json())
