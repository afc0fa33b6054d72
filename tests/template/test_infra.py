"""infra/aws: the dashboard shows what the template makes, and its deployer's policy lets it be made."""

import json
import re
from pathlib import Path

import pytest
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER
from samcli.yamlhelper import yaml_parse

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def dashboard():
    return yaml_parse((ROOT / "infra/aws/dashboard.yaml").read_text())


@pytest.fixture(scope="session")
def allowed():
    """The actions of the deployer's policy."""
    deployer = yaml_parse((ROOT / "infra/aws/deployer.yaml").read_text())
    statements = deployer["Resources"]["Deployer"]["Properties"]["PolicyDocument"]["Statement"]
    actions = [statement["Action"] for statement in statements]
    return {action for some in actions for action in (some if isinstance(some, list) else [some])}


def test_the_dashboard_takes_the_templates_outputs_and_shows_each(dashboard, template):
    assert dashboard["Parameters"].keys() <= template["Outputs"].keys()
    body = dashboard["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    assert set(re.findall(r"\$\{(\w+)\}", body)) == dashboard["Parameters"].keys()
    places = set()
    for widget in json.loads(body)["widgets"]:
        assert widget["properties"]["region"] == "${AWS::Region}"
        places.add((widget["x"], widget["y"]))
    assert len(places) == len(json.loads(body)["widgets"])


def test_a_deployer_may_make_and_look_at_every_resource(template, dashboard, allowed):
    resources = [*template["Resources"].values(), *dashboard["Resources"].values()]
    for kind in {resource["Type"] for resource in resources}:
        handlers = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema["handlers"]
        # The first is the making itself; the others of `create` are mostly for features that the template leaves alone.
        needed = {handlers["create"]["permissions"][0], *handlers["read"]["permissions"]}
        # What AWS's own schemas name for features that the template leaves alone.
        needed -= {"kms:Decrypt", "s3:getObject", "secretsmanager:GetSecretValue"}
        assert needed <= allowed, kind


def test_a_deployer_is_not_given_to_delete_read_or_overwrite_what_is_kept(allowed):
    forbidden = (
        r"dynamodb:(DeleteTable|\w*Item|Query|Scan|PartiQL\w+|ExportTable\w*|\w*Backup|\w*Stream\w*)",
        r"secretsmanager:(DeleteSecret|GetSecretValue|BatchGetSecretValue|PutSecretValue|UpdateSecret\w*)",
        r"logs:(DeleteLogGroup|GetLogEvents|FilterLogEvents|StartQuery)",
        r".*\*.*",
    )
    harmless = {"dynamodb:DescribeKinesisStreamingDestination"}
    found = {action for action in allowed - harmless for wrong in forbidden if re.fullmatch(wrong, action)}
    assert found == set()
