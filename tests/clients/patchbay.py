"""The real binary: started for a test, and ended the way an operator would."""

import os
import select
import signal
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
import wallaroo

GREETING = "Patchbay answers on "
START_SECONDS = 30
END_SECONDS = 30
ANSWER_SECONDS = 30


class Server:
    """A running server, and a way to ask it that owes nothing to the SDK under test."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, operation: str, body: dict[str, Any]) -> requests.Response:
        return requests.post(f"{self.url}/v1/api/{operation}", json=body, timeout=ANSWER_SECONDS)

    def connection(self, name: str) -> dict[str, Any] | None:
        """The connection of that name as it is stored, or None if there is none."""
        answer = self.ask("connections/get", {"name": name})
        if answer.status_code == 404:
            return None
        answer.raise_for_status()
        return answer.json()

    def listed(self, workspace_id: int) -> list[str]:
        """The names of the connections in a workspace."""
        answer = self.ask("connections/list", {"workspace_id": workspace_id})
        answer.raise_for_status()
        return [connection["name"] for connection in answer.json()["connections"]]


@contextmanager
def serving(binary: Path, folder: Path, *options: str) -> Iterator[Server]:
    """Serves an empty data folder inside `folder`, where its log is too, and fails if it does not end well."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PATCHBAY_")}
    command = [binary.resolve(), "serve", "--listen", "127.0.0.1:0", "--data", folder / "data", *options]
    log = folder / "log"
    with (
        log.open("w") as written,
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=written, text=True) as process,
    ):
        try:
            ready, _, _ = select.select([process.stdout], [], [], START_SECONDS)
            first_line = process.stdout.readline() if ready else ""
            assert first_line.startswith(GREETING), f"{first_line!r}\n{log.read_text()}"
            yield Server(first_line.removeprefix(GREETING).strip())
            process.send_signal(signal.SIGTERM)
            assert process.wait(END_SECONDS) == 0, log.read_text()
        finally:
            process.kill()


def sdk_client(server: Server) -> wallaroo.Client:
    """The SDK as it is, for a server with authentication off: it sends a token that nobody made."""
    return wallaroo.Client(api_endpoint=server.url, auth_type="test_auth")


def is_random_uuid(text: str) -> bool:
    """Whether this is a UUID of version 4, in lower case, with hyphens."""
    return uuid.UUID(text).version == 4 and str(uuid.UUID(text)) == text
