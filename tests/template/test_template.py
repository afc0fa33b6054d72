"""template.yaml: what may not go missing from it, asked of what CloudFormation gets."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import certifi
import pytest
from parameters import Stack, every_stack

ROOT = Path(__file__).resolve().parents[2]
ED25519 = {"kty": "OKP", "crv": "Ed25519", "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4"}
TOPIC = "arn:aws:sns:us-east-1:123456789012:alarms"


# What the function says where it takes all that the template sets: it lacks what Lambda would set.
NOTHING_BUT_LAMBDA = "patchbay: AWS_REGION is not set, as Lambda sets it\n"


def of_type(resources, kind):
    return {name: resource for name, resource in resources.items() if resource["Type"] == kind}


def only(resources, kind):
    [resource] = of_type(resources, kind).values()
    return resource["Properties"]


def environment_of(stack):
    """The function's variables; those that only a deployment knows are "somewhere"."""
    variables = only(stack.resources(), "AWS::Lambda::Function")["Environment"]["Variables"]
    return {name: value if isinstance(value, str) else "somewhere" for name, value in variables.items()}


def complaint(patchbay, environment):
    """What the function says when it is started with these variables."""
    # This machine has its root certificates elsewhere than Lambda has.
    environment = environment | {"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:1", "SSL_CERT_FILE": certifi.where()}
    return subprocess.run([patchbay], env=environment, capture_output=True, text=True, timeout=60).stderr


# The linters.


def test_sam_and_cfn_lint_find_nothing():
    tools = Path(sys.executable).parent
    for command in (
        [tools / "sam", "validate", "--lint", "--template-file", ROOT / "template.yaml"],
        [tools / "cfn-lint", "--include-checks", "I", "--", *sorted([ROOT / "template.yaml", *ROOT.glob("infra/aws/*.yaml")])],
    ):
        linted = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert linted.returncode == 0, linted.stdout + linted.stderr


def test_every_parameter_and_output_is_described(template):
    for part in ("Parameters", "Outputs"):
        for name, described in template[part].items():
            assert described.get("Description", "").strip(), name


# No open door.


def test_no_parameters_let_a_call_in_that_nobody_authorized(template):
    seen = set()
    for stack in every_stack(template):
        resources = stack.resources()
        route = only(resources, "AWS::ApiGatewayV2::Route")
        asks = environment_of(stack)["PATCHBAY_AUTH"] != "off"
        assert route["AuthorizationType"] == ("NONE" if asks else "AWS_IAM")
        assert "AuthorizerId" not in route
        seen.add(asks)
    assert seen == {True, False}


def test_the_function_is_reached_through_that_route_alone(template):
    resources = template["Resources"]
    assert only(resources, "AWS::ApiGatewayV2::Route")["RouteKey"] == "$default"
    assert only(resources, "AWS::ApiGatewayV2::Api") == {"Name": {"Ref": "AWS::StackName"}, "ProtocolType": "HTTP"}
    permission = only(resources, "AWS::Lambda::Permission")
    assert permission["Principal"] == "apigateway.amazonaws.com"
    [source] = permission["SourceArn"].values()
    assert source.endswith(":${Api}/*/$default")
    # Neither a function URL, nor an event source, nor another API.
    assert {resource["Type"] for resource in resources.values()} == {
        "AWS::ApiGatewayV2::Api",
        "AWS::ApiGatewayV2::Integration",
        "AWS::ApiGatewayV2::Route",
        "AWS::ApiGatewayV2::Stage",
        "AWS::CloudWatch::Alarm",
        "AWS::DynamoDB::Table",
        "AWS::IAM::Role",
        "AWS::Lambda::Function",
        "AWS::Lambda::Permission",
        "AWS::Logs::LogGroup",
        "AWS::SecretsManager::Secret",
    }


def test_calls_are_throttled(template):
    for stack in every_stack(template):
        settings = only(stack.resources(), "AWS::ApiGatewayV2::Stage")["DefaultRouteSettings"]
        assert settings["ThrottlingRateLimit"] > 0 and settings["ThrottlingBurstLimit"] > 0


def test_who_called_is_in_the_log(template):
    settings = only(template["Resources"], "AWS::ApiGatewayV2::Stage")["AccessLogSettings"]
    assert settings["DestinationArn"] == {"Fn::GetAtt": ["ApiLog", "Arn"]}
    line = json.loads(settings["Format"])
    assert line["iam"] == "$context.identity.userArn"
    assert line["requestId"] == "$context.requestId"


# The function and what it may do.


def test_the_function_knows_where_its_key_is_and_not_the_key(template):
    assert only(template["Resources"], "AWS::Lambda::Function")["Environment"]["Variables"] == {
        "PATCHBAY_TABLE": {"Ref": "Table"},
        "PATCHBAY_KEYS_SECRET": {"Ref": "Keys"},
        "PATCHBAY_READS": {"Ref": "Reads"},
        "PATCHBAY_BASE_PATH": {"Ref": "BasePath"},
        "PATCHBAY_AUTH": {"Ref": "Auth"},
        "PATCHBAY_TOKENS": {"Ref": "Tokens"},
        "PATCHBAY_OPERATOR_TOKENS": {"Ref": "OperatorTokens"},
        "PATCHBAY_ISSUER": {"Ref": "Issuer"},
        "PATCHBAY_AUDIENCE": {"Ref": "Audience"},
        "PATCHBAY_JWKS": {"Ref": "Jwks"},
        "PATCHBAY_JWKS_URL": {"Ref": "JwksUrl"},
        "PATCHBAY_CLAIM_TENANT": {"Ref": "ClaimTenant"},
        "PATCHBAY_CLAIM_ADMIN": {"Ref": "ClaimAdmin"},
        "PATCHBAY_CLAIM_EMAIL": {"Ref": "ClaimEmail"},
        "PATCHBAY_WORKSPACES": {"Ref": "Workspaces"},
        "SSL_CERT_FILE": "/etc/pki/tls/certs/ca-bundle.crt",
    }


def test_the_function_takes_each_of_its_settings(template, patchbay):
    seen = set()
    for stack in every_stack(
        template, Auth=["off"], BasePath=["", "/patchbay"], Architecture=["arm64"], LogRetentionDays=[1]
    ):
        environment = environment_of(stack)
        assert complaint(patchbay, environment) == NOTHING_BUT_LAMBDA
        seen.add(tuple(environment[f"PATCHBAY_{name}"] for name in ("WORKSPACES", "READS", "BASE_PATH")))
    assert len(seen) == 12


OF_TOKENS = {"Tokens": f"sha256={'ab' * 32} tenant=acme subject=ci admin,sha256={'cd' * 32} tenant=acme subject=ann"}
OF_OPERATOR = {"OperatorTokens": f"sha256={'ef' * 32} subject=ops"}
OF_ISSUER = {"Issuer": "https://issuer.example", "Audience": "patchbay", "Jwks": json.dumps({"keys": [ED25519]})}
GONE = {"Issuer": "https://127.0.0.1:9", "Jwks": ""}
CLAIMS = {"ClaimTenant": "org.id", "ClaimAdmin": "realm_access.roles=admin", "ClaimEmail": "mail"}


@pytest.mark.parametrize(
    "parameters, said",
    [
        (OF_TOKENS | {"Auth": "tokens"}, None),
        (OF_ISSUER | {"Auth": "oidc"}, None),
        (OF_ISSUER | CLAIMS | {"Auth": "oidc", "Workspaces": "managed"}, None),
        (OF_ISSUER | OF_TOKENS | {"Auth": "oidc+tokens"}, None),
        (OF_TOKENS | OF_OPERATOR | {"Auth": "tokens"}, None),
        ({"OperatorTokens": "subject=ops"}, "PATCHBAY_OPERATOR_TOKENS: entry 1: `sha256` is missing"),
        ({"Auth": "tokens"}, "PATCHBAY_AUTH=tokens needs PATCHBAY_TOKENS"),
        (OF_ISSUER | GONE | {"Auth": "oidc"}, None),
        (OF_ISSUER | GONE | {"Auth": "oidc", "JwksUrl": "http://127.0.0.1:9/keys"}, None),
        (OF_ISSUER | {"Auth": "oidc", "JwksUrl": "https://issuer.example/keys"}, "PATCHBAY_JWKS_URL do not go together"),
        (OF_TOKENS | {"Auth": "tokens", "Workspaces": "open"}, "PATCHBAY_WORKSPACES may be open only with PATCHBAY_AUTH=off"),
        (OF_ISSUER, "PATCHBAY_ISSUER is of an issuer, but nobody asks"),
    ],
)
def test_callers_are_known_as_the_parameters_say(template, patchbay, parameters, said):
    complained = complaint(patchbay, environment_of(Stack(template, **parameters)))
    assert complained == NOTHING_BUT_LAMBDA if said is None else said in complained, complained


@pytest.mark.parametrize("path, allowed", [("/a", True), ("/a/b", True), ("a", False), ("/", False), ("/a/", False)])
def test_the_template_allows_the_base_paths_that_the_function_takes(template, patchbay, path, allowed):
    assert bool(re.search(template["Parameters"]["BasePath"]["AllowedPattern"], path)) == allowed
    said = complaint(patchbay, environment_of(Stack(template, BasePath=path)))
    assert (said == NOTHING_BUT_LAMBDA) == allowed, said


@pytest.mark.parametrize("operator_tokens, more", [("", []), ("sha256=…", ["dynamodb:Scan"])])
def test_the_function_may_do_what_it_does_and_nothing_else(template, operator_tokens, more):
    role = only(Stack(template, OperatorTokens=operator_tokens).resources(), "AWS::IAM::Role")
    assert role.keys() == {"AssumeRolePolicyDocument", "Policies"}
    [policy] = role["Policies"]
    allowed = {}
    for statement in policy["PolicyDocument"]["Statement"]:
        assert statement["Effect"] == "Allow"
        actions = statement["Action"]
        of_resource = allowed.setdefault(json.dumps(statement["Resource"]), [])
        of_resource.extend([actions] if isinstance(actions, str) else actions)
    assert allowed == {
        json.dumps({"Fn::GetAtt": ["Table", "Arn"]}): [
            "dynamodb:BatchGetItem",
            "dynamodb:Query",
            "dynamodb:PutItem",
            "dynamodb:UpdateItem",
            "dynamodb:DeleteItem",
            "dynamodb:ConditionCheckItem",
            *more,
        ],
        json.dumps({"Ref": "Keys"}): ["secretsmanager:GetSecretValue"],
        json.dumps({"Fn::GetAtt": ["FunctionLog", "Arn"]}): ["logs:CreateLogStream", "logs:PutLogEvents"],
    }


@pytest.mark.parametrize("processor", ["arm64", "x86_64"])
def test_the_function_runs_where_it_is_told_and_ends_before_api_gateway_gives_up(template, processor):
    function = only(Stack(template, Architecture=processor).resources(), "AWS::Lambda::Function")
    assert function["Architectures"] == [processor]
    assert function["Runtime"] == "provided.al2023"
    assert function["Handler"] == "bootstrap"
    assert function["Timeout"] < 30
    assert function["LoggingConfig"] == {"LogGroup": {"Ref": "FunctionLog"}}
    assert only(template["Resources"], "AWS::ApiGatewayV2::Integration")["PayloadFormatVersion"] == "2.0"


def test_what_is_built_is_the_function_alone(source):
    metadata = source["Resources"]["Function"]["Metadata"]
    assert metadata == {"BuildMethod": "rust-cargolambda", "BuildProperties": {"Binary": "patchbay"}}
    cargo = subprocess.run(
        ["cargo", "metadata", "--no-deps", "--format-version=1", "--offline"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    [package] = [package for package in json.loads(cargo.stdout)["packages"] if package["name"] == "patchbay"]
    folder = Path(source["Resources"]["Function"]["Properties"]["CodeUri"])
    assert Path(package["manifest_path"]) == ROOT / folder / "Cargo.toml"
    build = package["metadata"]["lambda"]["build"]
    assert build["no_default_features"] is True
    assert build["features"] == ["lambda"]
    # `cargo lambda build --release` strips by itself.
    profile = tomllib.loads((ROOT / "Cargo.toml").read_text())["profile"]["lambda"]
    assert profile.pop("inherits") == "release" and profile.pop("strip") is True
    configured = {}
    for line in build["config"]:
        configured |= tomllib.loads(line)["profile"]["release"]
    assert configured == profile


# What is kept.


def test_the_table_the_keys_and_the_logs_outlive_the_stack(template):
    for name, resource in template["Resources"].items():
        if resource["Type"] in ("AWS::DynamoDB::Table", "AWS::SecretsManager::Secret", "AWS::Logs::LogGroup"):
            assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("Retain", "Retain"), name


def test_the_table_is_protected_encrypted_and_can_be_put_back_in_time(template):
    table = only(template["Resources"], "AWS::DynamoDB::Table")
    assert table["DeletionProtectionEnabled"] is True
    assert table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True
    assert table["SSESpecification"]["SSEEnabled"] is True


def test_the_table_is_the_one_that_patchbay_makes(template, table_asked_for):
    table = only(template["Resources"], "AWS::DynamoDB::Table")
    shape = ["AttributeDefinitions", "KeySchema", "BillingMode"]
    assert {name: table[name] for name in shape} == {name: table_asked_for[name] for name in shape}
    assert table_asked_for.keys() == {"TableName", *shape}
    assert table.keys() == {*shape, "DeletionProtectionEnabled", "PointInTimeRecoverySpecification", "SSESpecification"}


def test_the_generated_key_is_one_for_the_ring_and_stays(template):
    # Any change of these has CloudFormation write a new secret over the keys that were added since.
    assert only(template["Resources"], "AWS::SecretsManager::Secret")["GenerateSecretString"] == {
        "SecretStringTemplate": '{"sealing":"k1"}',
        "GenerateStringKey": "k1",
        # Letters and digits are left: the ring takes those, `_` and `-`, at least 43.
        "ExcludePunctuation": True,
        "PasswordLength": 48,
    }


def test_logs_are_kept_for_as_long_as_is_said(template):
    groups = of_type(Stack(template, LogRetentionDays=14).resources(), "AWS::Logs::LogGroup")
    assert {name: group["Properties"] for name, group in groups.items()} == {
        "FunctionLog": {"RetentionInDays": 14},
        "ApiLog": {"RetentionInDays": 14},
    }


# The alarms.


def test_alarms_watch_errors_throttles_slow_calls_and_the_table(template):
    watched = set()
    for alarm in of_type(template["Resources"], "AWS::CloudWatch::Alarm").values():
        alarm = alarm["Properties"]
        assert alarm["TreatMissingData"] == "notBreaching"
        metrics = [part["MetricStat"]["Metric"] for part in alarm.get("Metrics", []) if "MetricStat" in part]
        for metric in metrics or [alarm]:
            [dimension] = metric["Dimensions"]
            watched.add((metric["Namespace"], metric["MetricName"], dimension["Value"]["Ref"]))
    assert watched == {
        ("AWS/Lambda", "Errors", "Function"),
        ("AWS/ApiGateway", "5xx", "Api"),
        ("AWS/Lambda", "Throttles", "Function"),
        ("AWS/Lambda", "Duration", "Function"),
        ("AWS/DynamoDB", "ReadThrottleEvents", "Table"),
        ("AWS/DynamoDB", "WriteThrottleEvents", "Table"),
    }
    durations = [
        alarm["Properties"]["ExtendedStatistic"]
        for alarm in of_type(template["Resources"], "AWS::CloudWatch::Alarm").values()
        if alarm["Properties"].get("MetricName") == "Duration"
    ]
    assert durations == ["p99"]


def test_alarms_tell_the_topic_where_there_is_one(template):
    for topic, told in [("", None), (TOPIC, [TOPIC])]:
        alarms = of_type(Stack(template, AlarmTopic=topic).resources(), "AWS::CloudWatch::Alarm")
        assert alarms
        for alarm in alarms.values():
            assert alarm["Properties"].get("AlarmActions") == told
            assert alarm["Properties"].get("OKActions") == told
