"""What every test gets: a server of its own, and an environment that says nothing to the clients."""

import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import wallaroo
from patchbay import Server, sdk_client, serving


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--patchbay-binary", type=Path, help="the binary `patchbay` to test")
    parser.addoption("--patchbay-url", help="instead of a binary: a home that runs already, in `open` mode")
    parser.addoption("--patchbay-managed-url", help="the same home in `managed` mode")
    parser.addoption("--patchbay-empty", help="the command that empties it")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy and no setting of the SDK is taken from the machine."""
    for name in list(os.environ):
        if name.startswith("WALLAROO_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


def fresh(pytestconfig: pytest.Config, folder: Path, mode: str, url_option: str) -> Iterator[Server]:
    if url := pytestconfig.getoption(url_option):
        subprocess.run(shlex.split(pytestconfig.getoption("patchbay_empty")), check=True)
        yield Server(url)
        return
    with serving(pytestconfig.getoption("patchbay_binary"), folder, "--workspaces", mode) as server:
        yield server


@pytest.fixture
def server(pytestconfig: pytest.Config, tmp_path: Path) -> Iterator[Server]:
    yield from fresh(pytestconfig, tmp_path, "open", "patchbay_url")


@pytest.fixture
def managed_server(pytestconfig: pytest.Config, tmp_path: Path) -> Iterator[Server]:
    """A server where a workspace exists only once it was created."""
    yield from fresh(pytestconfig, tmp_path, "managed", "patchbay_managed_url")


@pytest.fixture
def wl(server: Server) -> wallaroo.Client:
    return sdk_client(server)
