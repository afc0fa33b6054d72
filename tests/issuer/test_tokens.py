"""The SDK package `wallaroo`, unmodified, with access tokens of a real issuer whose keys Patchbay finds by itself."""

import time
import uuid
from collections.abc import Callable
from http import HTTPStatus

import pytest
import requests
import wallaroo
from conftest import ANSWER_SECONDS

DETAILS = {"host": "example.com", "port": 3339, "password": "datapassword"}

Sdk = Callable[[str], wallaroo.Client]


@pytest.fixture
def name() -> str:
    """One that no other test uses: they share a home."""
    return f"warehouse-{uuid.uuid4()}"


def names(wl: wallaroo.Client) -> list[str]:
    return [connection.name() for connection in wl.list_connections()]


def test_the_sdk_creates_gets_lists_and_deletes(sdk: Sdk, name: str, stale_seconds: int) -> None:
    wl = sdk("ann")
    created = wl.create_connection(name, "POSTGRES", DETAILS)
    fetched = wl.get_connection(name)
    assert (fetched.id(), fetched.details()) == (created.id(), DETAILS)
    assert name in names(wl)
    fetched.delete_connection()
    assert name not in names(wl)
    bound = time.monotonic() + stale_seconds
    with pytest.raises(Exception, match="Failed to get connection"):
        while time.monotonic() <= bound:
            wl.get_connection(name)
            time.sleep(0.5)
        wl.get_connection(name)


def test_the_sdk_attaches_and_detaches(sdk: Sdk, name: str) -> None:
    wl = sdk("ann")
    wl.create_connection(name, "POSTGRES", DETAILS)
    workspace = wl.create_workspace(name)
    workspace.add_connection(name)
    assert [connection.name() for connection in workspace.list_connections()] == [name]
    workspace.remove_connection(name)
    assert workspace.list_connections() == []


def test_callers_are_who_their_tokens_say(sdk: Sdk, name: str) -> None:
    sdk("ann").create_connection(name, "POSTGRES", DETAILS)
    bob, root = sdk("bob"), sdk("root")
    assert name not in names(bob)
    with pytest.raises(Exception, match="Failed to get connection"):
        bob.get_connection(name)
    assert name in names(root)
    assert root.get_connection(name).details() == DETAILS


def refusal(answer: requests.Response) -> tuple[int, str, dict[str, object]]:
    return answer.status_code, answer.headers["WWW-Authenticate"], answer.json()


UNAUTHENTICATED = (
    HTTPStatus.UNAUTHORIZED,
    'Bearer error="invalid_token"',
    {"msg": "A valid bearer token is required.", "code": 401},
)


def test_the_sdk_with_a_token_that_nobody_made_is_refused(url: str) -> None:
    wl = wallaroo.Client(api_endpoint=url, auth_type="test_auth")
    answer = wl.httpx_client.post("/v1/api/connections/list", json={})
    assert refusal(answer) == UNAUTHENTICATED
    with pytest.raises(Exception, match="A valid bearer token is required"):
        wl.list_connections()


def test_a_token_for_another_resource_is_refused(url: str, token: Callable[..., str]) -> None:
    def listed(resource: str) -> requests.Response:
        return requests.post(
            f"{url}/v1/api/connections/list",
            headers={"Authorization": f"Bearer {token('root', resource)}"},
            json={},
            timeout=ANSWER_SECONDS,
        )

    assert listed("https://patchbay.example").status_code == HTTPStatus.OK
    assert refusal(listed("https://elsewhere.example")) == UNAUTHENTICATED
