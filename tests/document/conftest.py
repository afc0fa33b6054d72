"""The real binary, started for a test and ended as an operator would."""

import contextlib
import os
import signal
import subprocess
from pathlib import Path

import pytest


def pytest_addoption(parser):
    parser.addoption("--patchbay-binary", type=Path, required=True, help="the `patchbay` to test")


@pytest.fixture
def patchbay(request, tmp_path):
    """Starts servers: `patchbay(workspaces)` gives the base URL of one on a data folder of its own. With `tokens`, what
    PATCHBAY_TOKENS is to be, callers need one."""
    binary = request.config.getoption("--patchbay-binary").resolve()
    with contextlib.ExitStack() as running:
        yield lambda workspaces, tokens=None: running.enter_context(
            serving(binary, tmp_path / workspaces, workspaces, tokens)
        )


@contextlib.contextmanager
def serving(binary, data, workspaces, tokens):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PATCHBAY_")}
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
