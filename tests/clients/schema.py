"""Validates messages of a running Dynode with the JSON Schemas that it prints: whoever generates types gets true ones."""

import json
import sys

from jsonschema import Draft202012Validator

schemas, messages = (json.load(open(path)) for path in sys.argv[1:])
for name, schema in schemas.items():
    Draft202012Validator.check_schema(schema)
for name, message in messages:
    Draft202012Validator(schemas[name]).validate(message)
assert {name for name, _ in messages} >= {"request", "event", "outcome", "error"}
place = {"attempt": 1, "seq": 0}
for message in [{}, place | {"id": "a b", "event": "queued"}, place | {"id": "a", "event": "chat.delta", "delta": 7}]:
    assert not Draft202012Validator(schemas["event"]).is_valid(message), f"takes {message}"
