"""The client generated from the SDK's own OpenAPI document, beneath the SDK.

It shows the statuses that the SDK swallows, and parses each answer into a typed model, which fails where a field is
missing or is no time.
"""

import json
from datetime import timedelta
from http import HTTPStatus

import wallaroo
from patchbay import is_random_uuid
from wallaroo.connection import Connection
from wallaroo.wallaroo_ml_ops_api_client import models
from wallaroo.wallaroo_ml_ops_api_client.api.connection import (
    connections_add_to_workspace,
    connections_create,
    connections_delete,
    connections_get,
    connections_get_by_id,
    connections_list,
    connections_remove_from_workspace,
)
from wallaroo.wallaroo_ml_ops_api_client.api.workspace import workspaces_create, workspaces_list

DETAILS = {"host": "example.com", "port": 3339, "password": "datapassword"}
UNKNOWN = "5f7f0f5e-2f0b-4a53-9d2b-0d2b3c8f4e11"


def create(wl: wallaroo.Client) -> Connection:
    return wl.create_connection(name="warehouse", connection_type="POSTGRES", details=DETAILS)


def test_a_connection_is_parsed_into_the_model_of_each_call_that_gives_one(wl: wallaroo.Client) -> None:
    made = connections_create.sync(
        client=wl.mlops(),
        body=models.ConnectionsCreateBody.from_dict({"name": "warehouse", "type": "POSTGRES", "details": DETAILS}),
    )
    assert isinstance(made, models.ConnectionsCreateResponse200)
    listing = connections_list.sync(client=wl.mlops(), body=models.ConnectionsListBody())
    assert isinstance(listing, models.ConnectionsListResponse200)
    by_name = connections_get.sync(client=wl.mlops(), body=models.ConnectionsGetBody(name="warehouse"))
    assert isinstance(by_name, models.ConnectionsGetResponse200)
    by_id = connections_get_by_id.sync(client=wl.mlops(), body=models.ConnectionsGetByIdBody(id=made.id))
    assert isinstance(by_id, models.ConnectionsGetByIdResponse200)

    for connection in [*listing.connections, by_name, by_id]:
        assert (connection.id, connection.name, connection.type_) == (made.id, "warehouse", "POSTGRES")
        assert connection.details.to_dict() == DETAILS
        assert connection.workspace_names == []
        assert connection.created_at.utcoffset() == timedelta(0)
        # No answer has a field that the SDK does not know.
        assert connection.additional_properties == {}
    assert listing.additional_properties == {}
    assert made.additional_properties == {}


def test_an_absent_details_field_comes_back_as_null(wl: wallaroo.Client) -> None:
    connections_create.sync(client=wl.mlops(), body=models.ConnectionsCreateBody(name="warehouse", type_="POSTGRES"))
    parsed = connections_get.sync(client=wl.mlops(), body=models.ConnectionsGetBody(name="warehouse"))
    assert parsed.details is None


def test_adding_removing_and_deleting_answer_the_statuses_that_the_generated_client_knows(wl: wallaroo.Client) -> None:
    connection = create(wl)
    pair = {"connection_id": connection.id(), "workspace_id": wl.create_workspace("fraud").id()}
    added = connections_add_to_workspace.sync(
        client=wl.mlops(), body=models.ConnectionsAddToWorkspaceBody.from_dict(pair)
    )
    assert isinstance(added, models.ConnectionsAddToWorkspaceResponse200)
    assert is_random_uuid(added.id)
    assert added.id != connection.id()
    removed = connections_remove_from_workspace.sync_detailed(
        client=wl.mlops(), body=models.ConnectionsRemoveFromWorkspaceBody.from_dict(pair)
    )
    assert (removed.status_code, removed.content) == (HTTPStatus.NO_CONTENT, b"")
    deleted = connections_delete.sync_detailed(
        client=wl.mlops(), body=models.ConnectionsDeleteBody(name=connection.name())
    )
    assert (deleted.status_code, deleted.content) == (HTTPStatus.NO_CONTENT, b"")


def test_errors_are_parsed_into_the_models_of_their_statuses(wl: wallaroo.Client) -> None:
    create(wl)
    taken = connections_create.sync(
        client=wl.mlops(), body=models.ConnectionsCreateBody(name="warehouse", type_="POSTGRES")
    )
    malformed = connections_create.sync(client=wl.mlops(), body=models.ConnectionsCreateBody(name="", type_="POSTGRES"))
    unknown_name = connections_get.sync(client=wl.mlops(), body=models.ConnectionsGetBody(name="nowhere"))
    unknown_id = connections_get_by_id.sync(client=wl.mlops(), body=models.ConnectionsGetByIdBody(id=UNKNOWN))
    for error, model, code in [
        (taken, models.ConnectionsCreateResponse409, 409),
        (malformed, models.ConnectionsCreateResponse400, 400),
        (unknown_name, models.ConnectionsGetResponse404, 404),
        (unknown_id, models.ConnectionsGetByIdResponse404, 404),
    ]:
        assert isinstance(error, model)
        assert error.code == code
        assert error.msg != ""
        assert error.additional_properties == {}
    assert "name" in taken.msg
    assert "name" in malformed.msg


def test_the_statuses_that_the_sdk_swallows_say_why(wl: wallaroo.Client) -> None:
    connection = create(wl)
    fraud, churn = wl.create_workspace("fraud"), wl.create_workspace("churn")
    fraud.add_connection("warehouse")
    attached = connections_delete.sync_detailed(
        client=wl.mlops(), body=models.ConnectionsDeleteBody(name=connection.name())
    )
    assert attached.status_code == HTTPStatus.CONFLICT
    assert "fraud" in json.loads(attached.content)["msg"]
    not_attached = connections_remove_from_workspace.sync_detailed(
        client=wl.mlops(),
        body=models.ConnectionsRemoveFromWorkspaceBody(connection_id=connection.id(), workspace_id=churn.id()),
    )
    assert not_attached.status_code == HTTPStatus.NOT_FOUND
    assert json.loads(not_attached.content)["code"] == 404


def test_workspaces_are_parsed_into_their_models(wl: wallaroo.Client) -> None:
    made = workspaces_create.sync(client=wl.mlops(), body=models.WorkspacesCreateBody(workspace_name="fraud"))
    assert isinstance(made, models.WorkspacesCreateResponse200)
    listing = workspaces_list.sync(client=wl.mlops(), body=models.WorkspacesListBody())
    assert isinstance(listing, models.WorkspacesListResponse200)
    (workspace,) = listing.workspaces
    assert (workspace.id, workspace.name, workspace.archived) == (made.workspace_id, "fraud", False)
    assert (workspace.models, workspace.pipelines) == ([], [])
    assert workspace.created_by != ""
    assert workspace.additional_properties == {}
