"""Each refusal is the class of error that it is against the original, by the official SDK of OpenAI or of Anthropic for
Python, and the SDK returns when it is told to."""

import sys
import time

import anthropic
import openai
from checks import refused, run

KIND, URL, GOOD, NARROW, BUSY = sys.argv[1:6]
HELLO = [{"role": "user", "content": "Hello"}]
OTHER = [{"role": "user", "content": "something else"}]
IS_OPENAI = KIND == "openai"
sdk = openai if IS_OPENAI else anthropic


def client(key, **options):
    options = {"api_key": key, "max_retries": 0} | options
    return openai.OpenAI(base_url=URL + "/v1", **options) if IS_OPENAI else anthropic.Anthropic(base_url=URL, **options)


def ask(to, **options):
    create = to.chat.completions.create if IS_OPENAI else to.messages.create
    return create(**{"model": "sim-fast", "max_tokens": 100, "messages": HELLO} | options)


def each_status_is_its_class():
    good, stranger, narrow = client(GOOD), client("dyn_live_abc"), client(NARROW)
    taken = {"extra_headers": {"Idempotency-Key": f"python-{KIND}"}}
    ask(good, **taken)
    failing = lambda how, **options: ask(good, extra_body={"simulate": {"fail": how}}, **options)
    unavailable = (503, sdk.InternalServerError) if IS_OPENAI else (529, anthropic.OverloadedError)
    for code, (status, kind), call in [
        ("invalid_request", (400, sdk.BadRequestError), lambda **o: ask(good, **o | {"messages": []})),
        ("unauthorized", (401, sdk.AuthenticationError), lambda **o: ask(stranger, **o)),
        ("forbidden", (403, sdk.PermissionDeniedError), lambda **o: ask(narrow, model="sim-chat", **o)),
        ("not_found", (404, sdk.NotFoundError), lambda **o: ask(good, model="nobody", **o)),
        ("conflict", (409, sdk.ConflictError), lambda **o: ask(good, **taken, **o | {"messages": OTHER})),
        ("provider_error", (502, sdk.InternalServerError), lambda **o: failing("provider_error", **o)),
        ("provider_unavailable", unavailable, lambda **o: failing("provider_unavailable", **o)),
    ]:
        for streamed in (False, True):
            error = refused(kind, lambda: call(stream=streamed))
            assert (type(error), error.status_code) == (kind, status), repr(error)
            told = error.code if IS_OPENAI else error.body["error"]["details"]["error_code"]
            assert told.removeprefix("model_") == code, error.body
            assert error.request_id and error.request_id == error.response.headers["x-request-id"], error


def a_limit_says_when_to_return_and_is_kept_to():
    endless = {"extra_body": {"simulate": {"tokens": 1_000, "tokens_per_second": 1, "first_token_ms": 0}}}
    held = ask(client(BUSY), stream=True, **endless)
    began = time.monotonic()
    error = refused(sdk.RateLimitError, lambda: ask(client(BUSY, max_retries=1)))
    waited, headers = time.monotonic() - began, error.response.headers
    held.close()
    assert (type(error), error.status_code) == (sdk.RateLimitError, 429), repr(error)
    hint = int(headers["retry-after-ms"]) / 1000
    assert 1 <= hint <= int(headers["retry-after"]), headers
    # On their own the SDKs return within half a second.
    assert waited >= 1 and error.response.request.headers["x-stainless-retry-count"] == "1", waited


def what_can_never_succeed_is_not_tried_again():
    taken = {"extra_headers": {"Idempotency-Key": f"python-{KIND}-again"}}
    patient = client(GOOD, max_retries=2)
    ask(patient, **taken)
    error = refused(sdk.ConflictError, lambda: ask(patient, messages=OTHER, **taken))
    # Both SDKs repeat a conflict unless they are told not to.
    assert error.response.request.headers["x-stainless-retry-count"] == "0", error
    unavailable = {"extra_body": {"simulate": {"fail": "provider_unavailable", "retry_after_ms": 10}}}
    error = refused(sdk.InternalServerError, lambda: ask(patient, **unavailable))
    assert error.response.request.headers["x-stainless-retry-count"] == "2", error


def a_time_out_is_one():
    slow = {"extra_body": {"simulate": {"first_token_ms": 20_000}}}
    began = time.monotonic()
    for streamed in (False, True):
        refused(sdk.APITimeoutError, lambda: ask(client(GOOD, timeout=0.3), stream=streamed, **slow))
    assert time.monotonic() - began < 10


def a_key_is_shown_in_either_header():
    bearer, plain = f"Bearer {GOOD}", GOOD
    for headers in ({"Authorization": bearer, "x-api-key": sdk.omit}, {"Authorization": sdk.omit, "x-api-key": plain}):
        ask(client("none"), extra_headers=headers)


run(
    each_status_is_its_class,
    a_limit_says_when_to_return_and_is_kept_to,
    what_can_never_succeed_is_not_tried_again,
    a_time_out_is_one,
    a_key_is_shown_in_either_header,
)
