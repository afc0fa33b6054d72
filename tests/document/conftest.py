"""The real binary, started for a test and ended as an operator would."""

import contextlib
import os
import signal
import subprocess
from pathlib import Path

import pytest


def pytest_addoption(parser):
    parser.addoption("--patchbay-binary", type=Path, required=True, help="the `patchbay` to test")


@pytest.fixture(scope="session")
def binary(request):
    return request.config.getoption("--patchbay-binary").resolve()


@pytest.fixture(scope="session")
def operator(binary):
    """An operator's token, and the entry that knows it."""
    command = [binary, "tokens", "create", "--operator", "--subject", "operator"]
    printed = subprocess.run(command, env=surroundings(), capture_output=True, text=True, check=True).stdout
    _, token, _, _, entry = printed.splitlines()
    return token, entry


@pytest.fixture
def patchbay(binary, operator, tmp_path):
    """Starts servers: `patchbay(workspaces)` gives the base URL of one on a data folder of its own. With `tokens`, what
    PATCHBAY_TOKENS is to be, callers need one."""
    _, operators = operator
    with contextlib.ExitStack() as running:
        yield lambda workspaces, tokens=None: running.enter_context(
            serving(binary, tmp_path / workspaces, workspaces, tokens, operators)
        )


def surroundings(**settings):
    """This environment with no other settings of Patchbay's than these."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PATCHBAY_")} | settings


@contextlib.contextmanager
def serving(binary, data, workspaces, tokens, operators):
    environment = surroundings(PATCHBAY_OPERATOR_TOKENS=operators)
    if tokens:
        environment |= {"PATCHBAY_AUTH": "tokens", "PATCHBAY_TOKENS": tokens}
    command = [binary, "serve", "--listen", "127.0.0.1:0", "--data", data, "--workspaces", workspaces, "--log", "warn"]
    command += ["--audit", "on"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as server:
        try:
            greeting = server.stdout.readline()
            assert greeting.startswith("Patchbay answers on http://"), greeting
            yield greeting.split()[-1]
        finally:
            server.send_signal(signal.SIGTERM)
            try:
                ended = server.wait(timeout=20)
            except subprocess.TimeoutExpired:
                server.kill()
                raise
        assert ended == 0, f"the server ended with {ended}"
