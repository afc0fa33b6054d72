"""docs/openapi.yaml and docs/api.md say what the server does: asked of the real binary."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import requests
import yaml
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
METHODS = ["GET", "PUT", "POST", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "PURGE"]
WORKSPACES = ["open", "managed"]


@pytest.fixture(scope="module")
def document():
    return yaml.safe_load((ROOT / "docs/openapi.yaml").read_text())


@pytest.fixture(scope="module")
def page():
    return (ROOT / "docs/api.md").read_text()


# The document by itself.


def test_the_document_is_valid_openapi_3_1(document):
    assert document["openapi"].startswith("3.1.")
    OpenAPIV31SpecValidator(document).validate()


def test_every_example_fits_its_schema(document):
    registry = Registry().with_resource("urn:document", Resource(document, DRAFT202012))
    checked = 0
    for place, schema, example in examples(document, ()):
        pointer = "urn:document#" + "".join(f"/{part.replace('~', '~0').replace('/', '~1')}" for part in place)
        validator = jsonschema.Draft202012Validator(
            {"$ref": pointer}, registry=registry, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
        )
        wrong = [error.message for error in validator.iter_errors(example)]
        assert not wrong, f"{pointer}: {example}: {wrong}"
        checked += 1
    assert checked > 0


def examples(node, place):
    """Every example of the document, with its schema and where that stands."""
    if not isinstance(node, dict):
        return
    if "schema" in node:
        named = node.get("examples", {}).values()
        for example in [*(each["value"] for each in named), *([node["example"]] if "example" in node else [])]:
            yield (*place, "schema"), node["schema"], example
    elif isinstance(node.get("examples"), list):
        for example in node["examples"]:
            yield place, node, example
    for key, value in node.items():
        yield from examples(value, (*place, key))


def test_every_body_of_the_document_has_an_example(document):
    def bare(node, place):
        if isinstance(node, dict):
            if "application/json" in node and not node["application/json"].get("examples"):
                yield place
            for key, value in node.items():
                yield from bare(value, f"{place}/{key}")

    assert list(bare(document, "#")) == []


def test_every_object_of_the_document_names_all_its_fields(document):
    def open_ended(node, place):
        if isinstance(node, dict):
            if node.get("type") == "object" and node.get("additionalProperties") is not False:
                yield place
            for key, value in node.items():
                yield from open_ended(value, f"{place}/{key}")

    assert list(open_ended(document, "#")) == []


# The document against the server.


@pytest.mark.parametrize("workspaces", WORKSPACES)
def test_the_server_keeps_to_the_document_with_good_and_bad_data(patchbay, operator, tmp_path, workspaces):
    schemathesis = Path(sys.executable).with_name("schemathesis")
    config = ["--no-color", "--config-file", HERE / "schemathesis.toml"]
    run = subprocess.run(
        [schemathesis, *config, "run", ROOT / "docs/openapi.yaml", "--url", patchbay(workspaces)],
        cwd=tmp_path,
        env={**os.environ, "SCHEMATHESIS_HOOKS": str(HERE / "checks.py"), "OPERATOR_TOKEN": operator[0]},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stdout


def test_the_longest_details_of_the_document_are_the_longest_that_the_server_takes(patchbay, document):
    create = patchbay("open") + "/v1/api/connections/create"
    most = document["components"]["schemas"]["Details"]["maxLength"]
    for length, status in [(most, 200), (most + 1, 400)]:
        answer = requests.post(create, json={"name": f"of {length}", "type": "T", "details": "x" * length})
        assert answer.status_code == status, answer.text


def test_a_documented_path_refuses_other_methods_and_says_which_it_serves(patchbay, document):
    url = patchbay("open")
    for path, item in document["paths"].items():
        served = [method.upper() for method in item]
        for method in set(METHODS) - set(served):
            answer = requests.request(method, url + path)
            assert answer.status_code == 405, f"{method} {path}"
            assert answer.headers["Allow"] == ", ".join(served), f"{method} {path}"
            if method != "HEAD":
                assert answer.json()["code"] == 405, f"{method} {path}"


def test_what_stands_beside_the_documented_paths_is_404(patchbay, document):
    url = patchbay("open")
    beside = {"/", "/metrics", "/openapi.yaml"}
    for path in document["paths"]:
        beside |= {path + "/", path + "x", path.upper(), "/" + path, path.rpartition("/")[0] or "/"}
    for path in beside:
        for method in ["GET", "POST"]:
            answer = requests.request(method, url + path)
            assert answer.status_code == 404, f"{method} {path}"
            assert answer.json() == {"msg": "There is nothing at this path.", "code": 404}


def test_what_the_document_wants_a_token_for_is_401_without_one(patchbay, document):
    url = patchbay("managed", tokens=f"sha256={'0' * 64} tenant=t subject=s")
    operations = [(m, path, operation) for path, item in document["paths"].items() for m, operation in item.items()]
    for method, path, operation in operations:
        wants = operation.get("security", document["security"]) != []
        assert wants == (method == "post") == ("401" in operation["responses"]), path
        for headers, challenge in [({}, "Bearer"), ({"Authorization": "Bearer x"}, 'Bearer error="invalid_token"')]:
            answer = requests.request(method, url + path, json={} if wants else None, headers=headers)
            assert answer.status_code == (401 if wants else 200), f"{method} {path}"
            assert answer.headers.get("WWW-Authenticate") == (challenge if wants else None), f"{method} {path}"


def test_the_document_has_the_routes_of_the_core_and_no_others(document):
    table = (ROOT / "crates/core/src/api.rs").read_text()
    routes = re.findall(r'\b(post|get)\(\s*"(/[^"]*)"', table)
    documented = [(method, path) for path, item in document["paths"].items() for method in item]
    assert sorted(documented) == sorted(routes)


# The page.


def test_every_example_of_the_page_answers_as_printed(patchbay, page):
    blocks = re.findall(r"^```sh( managed)?\n(curl .*?)^```\n\n```http\n(.*?)^```$", page, re.M | re.S)
    assert len(blocks) == page.count("\n```sh") == page.count("\ncurl "), "each example is a command and its answer"
    urls = {"": patchbay("open"), " managed": patchbay("managed")}
    stands_for = {}
    for mode, command, printed in blocks:
        for shown, real in stands_for.items():
            command = command.replace(shown, real)
        command = command.replace("http://127.0.0.1:8080", urls[mode])
        status, body = ask(command)
        head, _, printed = printed.partition("\n\n")
        assert status == int(head.split()[1]), f"{command}{body}"
        shown, got = read(printed), read(body)
        stands_for.update(zip(made_up_by_the_server(printed), made_up_by_the_server(body)))
        assert blank(shown) == blank(got), f"{command}{body}"


def test_the_python_of_the_page_prints_what_the_page_says(patchbay, page):
    [(program, printed)] = re.findall(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```$", page, re.M | re.S)
    program = program.replace("http://127.0.0.1:8080", patchbay("open"))
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert ran.stdout == printed, ran.stderr


def ask(command):
    """Runs a printed `curl`: the status and the body."""
    arguments = shlex.split(command.replace("\\\n", " "))
    ran = subprocess.run([*arguments, "-sS", "-w", "\n%{http_code}"], capture_output=True, text=True, timeout=30)
    assert ran.returncode == 0, f"{command}{ran.stderr}"
    body, _, status = ran.stdout.rpartition("\n")
    return int(status), body


def read(body):
    """JSON down to the order of fields and the spelling of numbers."""
    spelt = {"parse_int": lambda digits: ("number", digits), "parse_float": lambda digits: ("number", digits)}
    return json.loads(body, object_pairs_hook=lambda pairs: ("object", pairs), **spelt) if body.strip() else None


# Ids, times and cursors: what no page can know beforehand.
MADE_UP = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    r"|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"
    r"|k1\.[A-Za-z0-9_-]+"
)


def made_up_by_the_server(body):
    return MADE_UP.findall(body)


def blank(value):
    return MADE_UP.sub("…", json.dumps(value))
