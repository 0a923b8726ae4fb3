"""What holds of every answer beside what the document says: its id, the form of its errors, its events, and that nothing
leaks."""

import itertools
import json

import jsonschema
import msgpack
import schemathesis

# Words that only the inside of the server knows: files of its source, panics, subjects of its bus, its folders.
INSIDE = [".rs:", "panicked", "dynode.req.", "dynode.evt.", "DYNODE_REQ", "/root/", "/home/", "stack backtrace"]
# What the server tells on purpose.
DOCUMENTATION = ("/docs/contract", "/openapi.json", "/docs")

fresh = itertools.count()


@schemathesis.hook
def before_call(ctx, case, kwargs):
    """The key of the examples names one request: each gets its own, or all but the first would be conflicts."""
    if case.headers and case.headers.get("Idempotency-Key") == "order-4711":
        case.headers["Idempotency-Key"] = f"order-{next(fresh)}"


@schemathesis.check
def says_who_answered(ctx, response, case):
    assert response.headers.get("x-request-id"), "no x-request-id"


@schemathesis.check
def errors_have_one_form(ctx, response, case):
    is_no_error = response.status_code < 400 or response.status_code == 416
    if is_no_error or case.method == "HEAD" or case.path == "/health/ready":
        return
    error = response.json()["error"]
    if speaks_anthropic(case):
        assert set(error) == {"message", "type", "details"}, f"another form: {error}"
        assert error["message"] and error["type"] and error["details"]["error_code"], f"says too little: {error}"
        return
    assert set(error) == {"message", "type", "param", "code"}, f"another form: {error}"
    assert error["message"] and error["type"] and error["code"], f"says too little: {error}"


def speaks_anthropic(case):
    return case.path.startswith("/v1/messages") or "anthropic-version" in (case.headers or {})


@schemathesis.check
def events_are_what_they_say(ctx, response, case):
    if response.status_code != 200 or not response.headers.get("content-type", [""])[0].startswith("text/event-stream"):
        return
    document = case.operation.schema.raw_schema
    answers = document["paths"][case.path][case.method.lower()]["responses"]
    schema = answers["200"]["content"]["text/event-stream"]["x-event-schema"]
    validator = jsonschema.Draft202012Validator({"allOf": [schema], "components": document["components"]})
    for line in response.content.decode().splitlines():
        if line.startswith("data: ") and line != "data: [DONE]":
            wrong = [error.message for error in validator.iter_errors(json.loads(line[6:]))]
            assert not wrong, f"an event is none: {wrong[0][:300]}"


@schemathesis.check
def nothing_leaks(ctx, response, case):
    if case.path in DOCUMENTATION:
        return
    text = response.content.decode("utf-8", "replace")
    sent = repr(case.body) + case.formatted_path
    told = [word for word in INSIDE if word in text and word not in sent]
    assert not told, f"tells of its inside: {told}"


@schemathesis.serializer("application/msgpack")
def as_message_pack(ctx, value):
    try:
        return msgpack.packb(value)
    except (OverflowError, TypeError, ValueError):
        # A number that MessagePack cannot bear: what it may not begin with is as wrong.
        return b"\xc1"
