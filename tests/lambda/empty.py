"""Empties a table on DynamoDB Local: `empty.py URL TABLE`."""

import json
import sys
from urllib.request import Request, urlopen

BATCH = 25  # keys that one BatchWriteItem takes
KEY = ("pk", "sk")


def call(url: str, operation: str, body: dict) -> dict:
    headers = {
        "Content-Type": "application/x-amz-json-1.0",
        "X-Amz-Target": f"DynamoDB_20120810.{operation}",
        # It wants one, and checks nothing of it.
        "Authorization": "AWS4-HMAC-SHA256 Credential=local/20260101/local/dynamodb/aws4_request, "
        "SignedHeaders=host, Signature=0",
    }
    with urlopen(Request(url, json.dumps(body).encode(), headers)) as answer:
        return json.load(answer)


def main(url: str, table: str) -> None:
    scan = {"TableName": table, "ProjectionExpression": ", ".join(KEY)}
    # Page after page is deleted, so that the first one is always what is left.
    while items := call(url, "Scan", scan)["Items"]:
        for start in range(0, len(items), BATCH):
            deletes = [{"DeleteRequest": {"Key": item}} for item in items[start : start + BATCH]]
            call(url, "BatchWriteItem", {"RequestItems": {table: deletes}})


main(*sys.argv[1:])
