"""The templates as CloudFormation gets them, and a stand-in for DynamoDB that remembers what table it was asked for."""

import json
import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

# The SAM translator asks for a region when it is loaded, and its command line reports home unless told not to.
os.environ.update(AWS_DEFAULT_REGION="us-east-1", SAM_CLI_TELEMETRY="0")

ROOT = Path(__file__).resolve().parents[2]


def pytest_addoption(parser):
    parser.addoption("--patchbay-binary", type=Path, required=True, help="the `patchbay` to test")


@pytest.fixture(scope="session")
def source():
    """template.yaml as it is written."""
    from samcli.yamlhelper import yaml_parse

    return yaml_parse((ROOT / "template.yaml").read_text())


@pytest.fixture(scope="session")
def template(source):
    """template.yaml as SAM hands it to CloudFormation."""
    from samtranslator.translator.transform import transform

    class NoManagedPolicies:
        def load(self):
            return {}

    built = json.loads(json.dumps(source))
    built["Resources"]["Function"]["Properties"]["CodeUri"] = "s3://bucket/key"
    return transform(built, {}, NoManagedPolicies())


@pytest.fixture(scope="session")
def patchbay(request):
    return request.config.getoption("--patchbay-binary").resolve()


@pytest.fixture
def table_asked_for(patchbay):
    """The request of `patchbay table create`."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            operation = self.headers["X-Amz-Target"].rpartition(".")[2]
            if operation == "CreateTable":
                asked.append(body)
                status, answer = 200, {"TableDescription": {"TableStatus": "CREATING"}}
            elif asked:
                status, answer = 200, {"Table": {**asked[0], "TableStatus": "ACTIVE"}}
            else:
                status, answer = 400, {"__type": "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException"}
            answer = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.0")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        environment = {
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_REGION": "us-east-1",
            "PATCHBAY_DYNAMODB_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
            "PATCHBAY_TABLE": "patchbay",
        }
        subprocess.run([patchbay, "table", "create"], env=environment, check=True, timeout=60)
        server.shutdown()
    [table] = asked
    return table
