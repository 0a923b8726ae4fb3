"""What holds of every answer beside what the document says: its id, the form of its errors, and that nothing leaks."""

import msgpack
import schemathesis

# Words that only the inside of the server knows: files of its source, panics, subjects of its bus, its folders.
INSIDE = [".rs:", "panicked", "dynode.req.", "dynode.evt.", "DYNODE_REQ", "/root/", "/home/", "stack backtrace"]


@schemathesis.check
def says_who_answered(ctx, response, case):
    assert response.headers.get("x-request-id"), "no x-request-id"


@schemathesis.check
def errors_have_one_form(ctx, response, case):
    if response.status_code < 400 or case.method == "HEAD" or case.path == "/health/ready" or response.status_code == 416:
        return
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}, f"another form: {error}"
    assert error["message"] and error["type"] and error["code"], f"says too little: {error}"


@schemathesis.check
def nothing_leaks(ctx, response, case):
    if case.path in ("/docs/contract", "/openapi.json", "/docs"):
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
