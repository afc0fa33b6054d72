"""The SDK package `wallaroo`, unmodified, does its whole work with connections against Patchbay.

The SDK swallows several errors, so what is asserted of a change is what the server says when it is asked again. Some of
its calls are GraphQL, which Patchbay does not speak: a workspace fresh from `create_workspace` knows its id alone and
asks GraphQL for the rest, so names and times are read off `list_workspaces`.
"""

import json
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import pytest
import wallaroo
from gql.transport.exceptions import TransportServerError
from patchbay import Server, is_random_uuid, sdk_client
from wallaroo.connection import Connection

DETAILS = {"host": "example.com", "port": 3339, "password": "datapassword"}


def create(wl: wallaroo.Client, name: str, details: Any = DETAILS) -> Connection:
    return wl.create_connection(name=name, connection_type="POSTGRES", details=details)


# Starting and workspaces


def test_a_client_starts_with_an_empty_configuration(wl: wallaroo.Client) -> None:
    assert wallaroo.config._config == {}


def test_a_header_without_a_bearer_token_is_ignored(wl: wallaroo.Client) -> None:
    answer = wl.httpx_client.post("/v1/api/connections/list", json={})
    assert answer.request.headers["Authorization"] == "definitely_a_bearer_token_str"
    assert (answer.status_code, answer.json()) == (HTTPStatus.OK, {"connections": []})


def test_what_the_sdk_asks_of_graphql_fails_at_once(wl: wallaroo.Client) -> None:
    workspace = wl.create_workspace("fraud")
    with pytest.raises(TransportServerError) as refusal:
        workspace.name()
    assert refusal.value.code == HTTPStatus.NOT_FOUND


def test_a_created_workspace_is_listed_with_its_name_and_time(wl: wallaroo.Client) -> None:
    before = datetime.now(UTC)
    created = wl.create_workspace("fraud")
    (listed,) = wl.list_workspaces()
    assert (listed.id(), listed.name(), listed.archived()) == (created.id(), "fraud", False)
    assert before <= datetime.fromisoformat(listed.created_at()) <= datetime.now(UTC)


def test_getting_a_workspace_creates_it_only_when_asked_to(wl: wallaroo.Client) -> None:
    with pytest.raises(Exception, match="Workspace with name fraud does not exist"):
        wl.get_workspace("fraud")
    assert wl.list_workspaces() == []
    created = wl.get_workspace("fraud", create_if_not_exist=True)
    assert wl.get_workspace("fraud", create_if_not_exist=True).id() == created.id()
    assert [workspace.name() for workspace in wl.list_workspaces()] == ["fraud"]


def test_a_workspace_name_is_taken_once(wl: wallaroo.Client) -> None:
    wl.create_workspace("fraud")
    with pytest.raises(Exception, match="Failed to create workspace"):
        wl.create_workspace("fraud")
    assert len(wl.list_workspaces()) == 1


# Connections


def test_a_created_connection_gives_back_all_that_was_said_of_it(server: Server, wl: wallaroo.Client) -> None:
    before = datetime.now(UTC)
    connection = create(wl, "warehouse")
    assert is_random_uuid(connection.id())
    assert connection.name() == "warehouse"
    assert connection.connection_type() == "POSTGRES"
    assert connection.details() == DETAILS
    assert connection.workspace_names() == []
    created_at = datetime.fromisoformat(connection.created_at())
    assert before <= created_at <= datetime.now(UTC)

    stored = server.connection("warehouse")
    assert datetime.fromisoformat(stored.pop("created_at")) == created_at
    assert stored == {
        "id": connection.id(),
        "name": "warehouse",
        "type": "POSTGRES",
        "details": DETAILS,
        "workspace_names": [],
    }


def test_a_connection_is_fetched_by_name(wl: wallaroo.Client) -> None:
    created = create(wl, "warehouse")
    fetched = wl.get_connection("warehouse")
    assert fetched.id() == created.id()
    assert (fetched.name(), fetched.connection_type()) == ("warehouse", "POSTGRES")
    assert (fetched.details(), fetched.created_at()) == (DETAILS, created.created_at())


def test_another_client_sees_what_the_first_created(server: Server, wl: wallaroo.Client) -> None:
    assert sdk_client(server).get_connection(create(wl, "warehouse").name()).details() == DETAILS


def test_fetching_an_unknown_name_fails(wl: wallaroo.Client) -> None:
    with pytest.raises(Exception, match="Failed to get connection"):
        wl.get_connection("nowhere")


def test_all_connections_are_listed_in_order_of_name(wl: wallaroo.Client) -> None:
    assert wl.list_connections() == []
    for name in ["kafka", "Warehouse", "archive"]:
        create(wl, name)
    assert [connection.name() for connection in wl.list_connections()] == ["Warehouse", "archive", "kafka"]


@pytest.mark.parametrize(
    "details",
    [
        pytest.param({}, id="empty"),
        pytest.param({"outer": {"inner": [1, 2.5, {"deep": [None, True]}]}}, id="nested"),
        pytest.param({"Schlüssel": "naïve 数据 🔑", "": '\u2028"\\/\t', "half": "\ud83d"}, id="unicode"),
        pytest.param({"big": 123456789012345678901234567890, "small": -1e-7}, id="numbers"),
        pytest.param({"id": "mine", "created_at": "2023-05-16", "msg": "x", "code": 500}, id="our-own-field-names"),
        pytest.param("jdbc:postgresql://example.com/db?password=x", id="string"),
        pytest.param(None, id="none"),
    ],
)
def test_details_come_back_as_they_were_given(server: Server, wl: wallaroo.Client, details: Any) -> None:
    assert create(wl, "warehouse", details).details() == details
    assert wl.get_connection("warehouse").details() == details
    (listed,) = wl.list_connections()
    assert listed.details() == details
    assert server.connection("warehouse")["details"] == details


def test_the_order_of_the_keys_in_details_is_kept(wl: wallaroo.Client) -> None:
    details = {"z": 1, "a": {"y": 2, "b": 3}, "m": 4}
    assert json.dumps(create(wl, "warehouse", details).details()) == json.dumps(details)


@pytest.mark.parametrize("details", [["a", "list"], 5, True, {"rate": float("nan")}])
def test_details_that_are_no_json_object_are_refused_and_nothing_is_created(
    server: Server, wl: wallaroo.Client, details: Any
) -> None:
    with pytest.raises(Exception, match="Failed to create connection"):
        create(wl, "warehouse", details)
    assert server.connection("warehouse") is None


@pytest.mark.parametrize("name", ["naïve 数据 🔑", "a/b?c=d#e%20f", 'it\'s "quoted"', "ü" * 127])
def test_unusual_names_work_from_creation_to_deletion(server: Server, wl: wallaroo.Client, name: str) -> None:
    create(wl, name)
    workspace = wl.create_workspace("fraud")
    workspace.add_connection(name)
    assert server.listed(workspace.id()) == [name]
    workspace.remove_connection(name)
    wl.get_connection(name).delete_connection()
    assert server.connection(name) is None


def test_a_taken_name_is_refused_with_the_sdks_own_message(server: Server, wl: wallaroo.Client) -> None:
    first = create(wl, "warehouse")
    with pytest.raises(Exception, match="This connection already exists"):
        create(wl, "warehouse", {"host": "elsewhere"})
    stored = server.connection("warehouse")
    assert (stored["id"], stored["details"]) == (first.id(), DETAILS)


# Attaching and detaching


def test_a_connection_added_to_a_workspace_is_listed_there_and_nowhere_else(
    server: Server, wl: wallaroo.Client
) -> None:
    connection = create(wl, "warehouse")
    fraud, churn = wl.create_workspace("fraud"), wl.create_workspace("churn")
    fraud.add_connection("warehouse")
    (listed,) = fraud.list_connections()
    assert (listed.id(), listed.details()) == (connection.id(), DETAILS)
    assert listed.workspace_names() == ["fraud"]
    assert churn.list_connections() == []
    assert server.listed(fraud.id()) == ["warehouse"]
    assert server.listed(churn.id()) == []


def test_the_workspaces_of_a_connection_are_named_in_order(server: Server, wl: wallaroo.Client) -> None:
    create(wl, "warehouse")
    for name in ["fraud", "churn"]:
        wl.create_workspace(name).add_connection("warehouse")
    assert wl.get_connection("warehouse").workspace_names() == ["churn", "fraud"]
    assert server.connection("warehouse")["workspace_names"] == ["churn", "fraud"]


def test_adding_twice_is_the_same_as_adding_once(server: Server, wl: wallaroo.Client) -> None:
    create(wl, "warehouse")
    workspace = wl.create_workspace("fraud")
    workspace.add_connection("warehouse")
    workspace.add_connection("warehouse")
    assert server.listed(workspace.id()) == ["warehouse"]
    workspace.remove_connection("warehouse")
    assert server.listed(workspace.id()) == []


def test_a_removed_connection_leaves_that_workspace_only(server: Server, wl: wallaroo.Client) -> None:
    create(wl, "warehouse")
    fraud, churn = wl.create_workspace("fraud"), wl.create_workspace("churn")
    fraud.add_connection("warehouse")
    churn.add_connection("warehouse")
    fraud.remove_connection("warehouse")
    assert fraud.list_connections() == []
    assert server.listed(churn.id()) == ["warehouse"]
    assert server.connection("warehouse")["workspace_names"] == ["churn"]


def test_removing_what_was_never_added_changes_nothing(server: Server, wl: wallaroo.Client) -> None:
    create(wl, "warehouse")
    fraud, churn = wl.create_workspace("fraud"), wl.create_workspace("churn")
    fraud.add_connection("warehouse")
    churn.remove_connection("warehouse")  # 404, which the SDK swallows
    assert server.connection("warehouse")["workspace_names"] == ["fraud"]


def test_adding_to_a_workspace_that_was_not_created_fails_where_workspaces_are_managed(managed_server: Server) -> None:
    wl = sdk_client(managed_server)
    connection = create(wl, "warehouse")
    with pytest.raises(Exception, match="Failed to add connection to workspace"):
        connection.add_connection_to_workspace(7)
    assert managed_server.connection("warehouse")["workspace_names"] == []
    wl.create_workspace("fraud").add_connection("warehouse")
    assert managed_server.connection("warehouse")["workspace_names"] == ["fraud"]


# Deleting


def test_a_deleted_connection_is_gone(server: Server, wl: wallaroo.Client) -> None:
    create(wl, "warehouse").delete_connection()
    assert server.connection("warehouse") is None
    assert wl.list_connections() == []


def test_an_attached_connection_outlives_its_deletion(server: Server, wl: wallaroo.Client) -> None:
    connection = create(wl, "warehouse")
    workspace = wl.create_workspace("fraud")
    workspace.add_connection("warehouse")
    connection.delete_connection()  # 409, which the SDK swallows
    stored = server.connection("warehouse")
    assert (stored["id"], stored["workspace_names"]) == (connection.id(), ["fraud"])
    assert server.listed(workspace.id()) == ["warehouse"]

    workspace.remove_connection("warehouse")
    connection.delete_connection()
    assert server.connection("warehouse") is None


def test_a_deleted_name_can_be_used_again(server: Server, wl: wallaroo.Client) -> None:
    first = create(wl, "warehouse")
    first.delete_connection()
    second = create(wl, "warehouse", {"host": "elsewhere"})
    assert second.id() != first.id()
    assert server.connection("warehouse")["details"] == {"host": "elsewhere"}


def test_a_notebook_shows_connections_with_their_workspaces(wl: wallaroo.Client) -> None:
    create(wl, "warehouse")
    wl.create_workspace("fraud").add_connection("warehouse")
    for shown in [wl.get_connection("warehouse")._repr_html_(), wl.list_connections()._repr_html_()]:
        assert all(text in shown for text in ["warehouse", "POSTGRES", "fraud"])
