"""Python's plain HTTP libraries get along with Patchbay, errors included."""

import http.client
import json
import urllib.error
import urllib.request
from urllib.parse import urlsplit

import pytest
import requests
from patchbay import Server

CREATE = {"name": "warehouse", "type": "POSTGRES", "details": {"host": "example.com"}}


def test_urllib_reads_an_answer(server: Server) -> None:
    server.ask("connections/create", CREATE)
    request = urllib.request.Request(
        f"{server.url}/v1/api/connections/get",
        data=json.dumps({"name": "warehouse"}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        assert json.load(answer)["details"] == CREATE["details"]


def test_urllib_reads_why_it_was_refused(server: Server) -> None:
    request = urllib.request.Request(
        f"{server.url}/v1/api/connections/get",
        data=b'{"name": "nowhere"}',
        headers={"Content-Type": "application/json"},
    )
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(request)
    with refusal.value as error:
        body = json.load(error)
    assert sorted(body) == ["code", "msg"]
    assert (error.code, body["code"]) == (404, 404)
    assert error.headers["x-request-id"] != ""


def test_the_form_type_that_urllib_adds_by_itself_is_refused_with_what_to_send(server: Server) -> None:
    request = urllib.request.Request(f"{server.url}/v1/api/connections/get", data=b'{"name": "nowhere"}')
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(request)
    with refusal.value as error:
        assert error.code == 415
        assert "application/json" in json.load(error)["msg"]


def test_one_connection_carries_success_refusal_and_answers_without_a_body(server: Server) -> None:
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc)
    connection.connect()
    opened = connection.sock
    statuses = []
    for operation, body in [
        ("create", CREATE),
        ("create", CREATE),
        ("get", {"name": "warehouse"}),
        ("delete", {"name": "warehouse"}),
        ("get", {"name": "warehouse"}),
    ]:
        connection.request("POST", f"/v1/api/connections/{operation}", json.dumps(body))
        answer = connection.getresponse()
        content = answer.read()
        assert (content == b"") == (answer.status == 204)
        statuses.append(answer.status)
        assert connection.sock is opened
    connection.close()
    assert statuses == [200, 409, 200, 204, 404]


def test_requests_needs_no_content_type(server: Server) -> None:
    with requests.Session() as session:
        answer = session.post(f"{server.url}/v1/api/connections/create", data=json.dumps(CREATE))
        assert "Content-Type" not in answer.request.headers
    assert answer.status_code == 200
    assert server.connection("warehouse")["id"] == answer.json()["id"]


def test_requests_reads_why_a_body_was_too_large(server: Server) -> None:
    body = json.dumps(CREATE | {"details": "x" * (600 * 1024)})
    answer = requests.post(f"{server.url}/v1/api/connections/create", data=body)
    assert answer.status_code == 413
    assert answer.json()["code"] == 413
    assert server.connection("warehouse") is None


@pytest.mark.parametrize("kibibytes", [513, 600, 1024, 2048])
def test_the_standard_library_reads_why_a_body_was_too_large_every_time(server: Server, kibibytes: int) -> None:
    body = json.dumps(CREATE | {"details": "x" * (kibibytes * 1024)})
    for _ in range(25):
        connection = http.client.HTTPConnection(urlsplit(server.url).netloc)
        connection.request("POST", "/v1/api/connections/create", body)
        answer = connection.getresponse()
        assert (answer.status, json.load(answer)["code"]) == (413, 413)
        connection.close()

        with pytest.raises(urllib.error.HTTPError) as refusal:
            urllib.request.urlopen(
                urllib.request.Request(
                    f"{server.url}/v1/api/connections/create",
                    data=body.encode(),
                    headers={"Content-Type": "application/json"},
                )
            )
        with refusal.value as error:
            assert (error.code, json.load(error)["code"]) == (413, 413)


def test_requests_sends_a_body_in_chunks(server: Server) -> None:
    text = json.dumps(CREATE).encode()
    answer = requests.post(f"{server.url}/v1/api/connections/create", data=iter([text[:20], text[20:]]))
    assert answer.request.headers["Transfer-Encoding"] == "chunked"
    assert answer.status_code == 200
    assert server.connection("warehouse")["details"] == CREATE["details"]
