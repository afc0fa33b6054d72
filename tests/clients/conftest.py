"""What every test gets: a server of its own, and an environment that says nothing to the clients."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import wallaroo
from patchbay import Server, sdk_client, serving


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--patchbay-binary", type=Path, required=True, help="the binary `patchbay` to test")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy and no setting of the SDK is taken from the machine."""
    for name in list(os.environ):
        if name.startswith("WALLAROO_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def server(pytestconfig: pytest.Config, tmp_path: Path) -> Iterator[Server]:
    with serving(pytestconfig.getoption("patchbay_binary"), tmp_path) as server:
        yield server


@pytest.fixture
def managed_server(pytestconfig: pytest.Config, tmp_path: Path) -> Iterator[Server]:
    """A server where a workspace exists only once it was created."""
    with serving(pytestconfig.getoption("patchbay_binary"), tmp_path, "--workspaces", "managed") as server:
        yield server


@pytest.fixture
def wl(server: Server) -> wallaroo.Client:
    return sdk_client(server)
