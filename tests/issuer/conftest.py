"""A home that takes a real issuer's tokens, and the SDK with such tokens in its hands."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
import wallaroo

AUDIENCE = "https://patchbay.example"
ANSWER_SECONDS = 30


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--patchbay-url", required=True, help="the home to test")
    parser.addoption("--issuer-url", required=True, help="the issuer that it trusts")
    parser.addoption("--stale-seconds", type=int, default=0, help="for how long a get may show what was before")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy and no setting of the SDK is taken from the machine."""
    for name in list(os.environ):
        if name.startswith("WALLAROO_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def url(pytestconfig: pytest.Config) -> str:
    return pytestconfig.getoption("patchbay_url")


@pytest.fixture
def stale_seconds(pytestconfig: pytest.Config) -> int:
    return pytestconfig.getoption("stale_seconds")


@pytest.fixture
def token(pytestconfig: pytest.Config) -> Callable[..., str]:
    """An access token that the issuer makes for one of its clients."""

    def ask(client: str, resource: str = AUDIENCE) -> str:
        answer = requests.post(
            f"{pytestconfig.getoption('issuer_url')}/token",
            auth=(client, client),
            data={"grant_type": "client_credentials", "resource": resource},
            timeout=ANSWER_SECONDS,
        )
        answer.raise_for_status()
        return answer.json()["access_token"]

    return ask


@pytest.fixture
def sdk(
    url: str, token: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], wallaroo.Client]:
    """The SDK as it is, in the name of one of the issuer's clients."""

    def client(name: str) -> wallaroo.Client:
        credentials = tmp_path / f"{name}.json"
        said = {"token": token(name), "user_email": f"{name}@acme.example", "user_id": name}
        credentials.write_text(json.dumps(said))
        monkeypatch.setenv("WALLAROO_SDK_CREDENTIALS", str(credentials))
        return wallaroo.Client(api_endpoint=url, auth_type="token")

    return client
