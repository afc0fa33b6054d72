"""The guide's seven snippets, as printed there, do against Patchbay what the guide shows.

Each file in `guide/` is one snippet, to the letter. What the guide takes as given is put in its namespace: the SDK's
client `wl`, `APIURL`, `requests`, and a `display` that keeps what it is given.
"""

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
import wallaroo
from patchbay import Server, is_random_uuid

SNIPPETS = Path(__file__).parent / "guide"
NAME = "bigqueryhouseapiinput"
WORKSPACE = "bigqueryapiworkspace"
DETAILS = {
    "type": "service_account",
    "table": "housepricesaga_inputs",
    "dataset": "release_testing_2023_2",
}


class Notebook:
    """Runs snippets one after another over the same variables."""

    def __init__(self, wl: wallaroo.Client, url: str, workspace_id: int | str) -> None:
        self.variables: dict[str, Any] = {
            "wl": wl,
            "APIURL": url,
            "requests": requests,
            "workspace_id": workspace_id,
            "bigquery_connection_input_name": NAME,
            "bigquery_connection_input_type": "BIGQUERY",
            "bigquery_connection_input_argument": DETAILS,
        }

    def run(self, snippet: str, **variables: Any) -> Any:
        """What the snippet displays."""
        displayed: list[Any] = []
        file = SNIPPETS / f"{snippet}.py"
        namespace = self.variables | variables | {"display": displayed.append}
        exec(compile(file.read_text(), file, "exec"), namespace)
        (shown,) = displayed
        return shown

    def create(self, **variables: Any) -> str:
        """Runs the guide's first snippet and keeps the id for the later ones."""
        shown = self.run("create", **variables)
        assert list(shown) == ["id"], shown
        assert is_random_uuid(shown["id"])
        self.variables["connection_input_id"] = shown["id"]
        return shown["id"]


@pytest.fixture(params=[int, str], ids=["integer-workspace-id", "string-workspace-id"])
def notebook(
    request: pytest.FixtureRequest, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Notebook:
    """The guide gives the type of `workspace_id` both as String and as Integer."""
    credentials = tmp_path / "credentials.json"
    credentials.write_text(json.dumps({"token": "a-token", "user_email": "jane@example.com", "user_id": "jane"}))
    monkeypatch.setenv("WALLAROO_SDK_CREDENTIALS", str(credentials))
    wl = wallaroo.Client(api_endpoint=server.url, auth_type="token")
    assert wl.auth.auth_header() == {"Authorization": "Bearer a-token"}
    return Notebook(wl, server.url, request.param(wl.create_workspace(WORKSPACE).id()))


def assert_printed_connection(shown: dict[str, Any], connection_id: str, workspaces: list[str]) -> None:
    """As the guide prints it, in that order, with the brace that it loses."""
    assert list(shown) == ["id", "name", "type", "details", "created_at", "workspace_names"]
    created_at = shown["created_at"]
    assert len(created_at) == len("2023-05-16T16:43:05.170914Z")
    assert datetime.strptime(created_at, "%Y-%m-%dT%H:%M:%S.%f%z").utcoffset() == timedelta(0)
    assert shown == {
        "id": connection_id,
        "name": NAME,
        "type": "BIGQUERY",
        "details": DETAILS,
        "created_at": created_at,
        "workspace_names": workspaces,
    }
    assert list(shown["details"]) == list(DETAILS)


def test_the_guide_runs_from_its_first_snippet_to_its_last(server: Server, notebook: Notebook) -> None:
    connection_id = notebook.create()

    shown = notebook.run("add_to_workspace")
    assert list(shown) == ["id"]
    assert is_random_uuid(shown["id"])
    assert shown["id"] != connection_id

    shown = notebook.run("list")
    assert list(shown) == ["connections"]
    (listed,) = shown["connections"]
    assert_printed_connection(listed, connection_id, [WORKSPACE])

    assert notebook.run("get") == listed
    # The guide's variable is called a name; what the call wants, and the guide's text says, is the id.
    assert notebook.run("get_by_id", bigquery_connection_input_name=connection_id) == listed

    assert repr(notebook.run("remove_from_workspace")) == "<Response [204]>"
    assert notebook.run("list") == {"connections": []}
    assert_printed_connection(server.connection(NAME), connection_id, [])

    assert repr(notebook.run("delete")) == "<Response [204]>"
    assert server.connection(NAME) is None


def test_a_connection_must_be_removed_from_all_workspaces_before_it_can_be_deleted(
    server: Server, notebook: Notebook
) -> None:
    connection_id = notebook.create()
    notebook.run("add_to_workspace")
    refused = notebook.run("delete")
    assert refused.status_code == 409
    assert refused.json()["code"] == 409
    assert WORKSPACE in refused.json()["msg"]
    assert_printed_connection(server.connection(NAME), connection_id, [WORKSPACE])
    notebook.run("remove_from_workspace")
    assert repr(notebook.run("delete")) == "<Response [204]>"


@pytest.mark.parametrize(
    "details",
    [
        {"username": "dataperson", "password": "datapassword", "port": 3339},
        "{'username':'dataperson', 'password':'datapassword', 'port': 3339}",
    ],
    ids=["the-guides-example", "the-guides-example-as-a-string"],
)
def test_details_are_the_users_own(notebook: Notebook, details: Any) -> None:
    notebook.create(bigquery_connection_input_argument=details)
    assert notebook.run("get")["details"] == details


def test_a_snippet_that_fails_shows_why(notebook: Notebook) -> None:
    notebook.create()
    again = notebook.run("create")
    assert again["code"] == 409
    assert "name" in again["msg"]
    by_name = notebook.run("get_by_id")  # as printed, with a name where the id belongs
    assert by_name["code"] == 400
    assert "id" in by_name["msg"]
    unknown = notebook.run("get", bigquery_connection_input_name="nowhere")
    assert unknown["code"] == 404
