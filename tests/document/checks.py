"""The rules that JSON Schema cannot say, and the check that the server keeps them."""

import json
import os

import schemathesis
from schemathesis import GenerationMode

# The native server leaves it to a command.
NOT_HERE = "POST /v1/api/admin/adopt"
BYTES = {"tenant": 128, "owner": 255, "name": 255, "workspace_name": 255, "user_id": 255, "email": 255, "subject": 255, "type": 64}
DETAILS_BYTES = 256 * 1024
LARGEST_WORKSPACE_ID = 2**53 - 1
INTEGERS = ("workspace_id", "limit")


def breaks_a_rule(body):
    """Whether a body that fits its schema is still to be refused. What a schema can say does not count."""
    texts = [(body.get(field), most) for field, most in BYTES.items() if isinstance(body.get(field), str)]
    too_many_bytes = any(len(text) <= most < len(text.encode()) for text, most in texts)
    # JSON Schema calls 1.0 an integer.
    written_as_fraction = any(isinstance(body.get(field), float) for field in INTEGERS)
    workspace = body.get("workspace_id")
    beyond_53_bits = isinstance(workspace, str) and int(workspace) > LARGEST_WORKSPACE_ID
    return too_many_bytes or written_as_fraction or beyond_53_bits or details_too_long(body.get("details"))


def contradicts_itself(body):
    """Whether it is to be rehearsed and given up at once."""
    return body.get("dry_run") is True and body.get("give_up") is True


def details_too_long(details):
    """Whether escapes, or the fields of an object, make them longer than a schema can see."""
    characters = len(details) + 2 if isinstance(details, str) else 0
    return characters <= DETAILS_BYTES < len(json.dumps(details))


@schemathesis.hook
def before_call(ctx, case, kwargs):
    """The operator's calls ask for a token with authentication off too."""
    if "Operator" in case.operation.tags:
        case.headers["Authorization"] = f"Bearer {os.environ['OPERATOR_TOKEN']}"


@schemathesis.check
def judged_by_all_rules(ctx, response, case):
    """A request that fits its schema is refused as malformed exactly where it breaks a rule beyond the schema."""
    generated = case.meta is not None and case.meta.generation.mode == GenerationMode.POSITIVE
    # Wrong methods and content types ride on good bodies; other checks judge them.
    if not generated or not isinstance(case.body, dict) or response.status_code in (405, 415):
        return
    if case.operation.label == NOT_HERE:
        refused = response.status_code == 400
        assert refused == (breaks_a_rule(case.body) or contradicts_itself(case.body)), response.text
        assert refused or response.status_code == 501, response.text
        return
    if case.body.get("cursor") is not None:
        # No made-up cursor is one that the server gave out.
        assert response.status_code == 400, f"a made-up cursor got {response.status_code}"
        return
    refused = response.status_code in (400, 413)
    if breaks_a_rule(case.body):
        assert refused, f"a body beyond the rules got {response.status_code}"
    else:
        assert not refused, f"a good body got {response.status_code}: {response.text}"


@schemathesis.check
class EveryOperationWorked:
    """Each operation succeeded at least once: one that was only ever refused was not tested."""

    def __init__(self):
        self.tried, self.worked = set(), set()

    def after_response(self, ctx, response, case):
        self.tried.add(case.operation.label)
        if response.status_code < 300:
            self.worked.add(case.operation.label)

    def after_run(self, ctx):
        never = self.tried - self.worked
        assert never == {NOT_HERE}, f"never succeeded: {sorted(never)}"
