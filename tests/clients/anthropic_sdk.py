"""The official Anthropic SDK for Python against the simulated provider: only the base URL is ours.

What the SDK makes of an answer, a stream and an error is what it makes of Anthropic's own. Responses are validated
strictly: a field that is missing or mistyped is an error.
"""

import asyncio
import sys
import time

import anthropic
from checks import run

URL = sys.argv[1]
HELLO = [{"role": "user", "content": "hello"}]
SAID = "A stream of work"
WEATHER = {
    "name": "weather",
    "description": "Tells the weather.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
OPTIONS = {"base_url": URL, "api_key": "none", "max_retries": 0, "_strict_response_validation": True}
client = anthropic.Anthropic(**OPTIONS)


def ask(to=client, **options):
    defaults = {"model": "sim:tokens=4", "max_tokens": 100, "messages": HELLO}
    return to.messages.create(**defaults | options)


def refused(kind, call):
    """The error of `kind` that `call` must end with."""
    try:
        call()
    except kind as error:
        assert type(error) is kind or kind is anthropic.APIStatusError, f"{type(error)}: {error}"
        return error
    raise AssertionError(f"no {kind.__name__}")


def a_message_is_answered():
    message = ask(system="Be brief.")
    assert message.content[0].text == SAID, message
    assert (message.type, message.role, message.stop_reason) == ("message", "assistant", "end_turn"), message
    assert message.model == "sim:tokens=4"
    assert message.usage.input_tokens > 0 and message.usage.output_tokens == 4, message.usage
    assert message._request_id.startswith("req_")
    assert ask(max_tokens=2).stop_reason == "max_tokens"


def a_message_is_streamed():
    events = list(ask(stream=True))
    assert [event.type for event in events] == [
        "message_start",
        "content_block_start",
        *["content_block_delta"] * 4,
        "content_block_stop",
        "message_delta",
        "message_stop",
    ], "the SDK passes over the ping"
    assert "".join(event.delta.text for event in events if event.type == "content_block_delta") == SAID


def the_stream_helper_puts_the_message_together():
    thinking = {"type": "adaptive"}
    with client.messages.stream(model="sim:tokens=4", max_tokens=100, messages=HELLO, thinking=thinking) as stream:
        pieces = list(stream.text_stream)
        message = stream.get_final_message()
        assert stream.request_id.startswith("req_")
    assert len(pieces) == 4 and "".join(pieces) == SAID
    thought, said = message.content
    assert thought.thinking and thought.signature and said.text == SAID, message
    assert message.usage.output_tokens == 8 and message.usage.output_tokens_details.thinking_tokens == 4
    whole = ask(thinking=thinking)
    assert (whole.content[0].thinking, whole.content[1].text) == (thought.thinking, said.text), whole


def a_tool_is_called_and_its_result_read():
    message = ask(tools=[WEATHER])
    (call,) = message.content
    assert (call.type, call.name, call.input) == ("tool_use", "weather", {"city": "sim"}), message
    assert message.stop_reason == "tool_use"
    with client.messages.stream(model="sim", max_tokens=100, messages=HELLO, tools=[WEATHER]) as stream:
        inputs = [event.partial_json for event in stream if event.type == "input_json"]
        streamed = stream.get_final_message()
    assert len(inputs) > 2, inputs
    assert streamed.content[0].input == call.input
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}
    messages = [*HELLO, message.to_param(), {"role": "user", "content": [result]}]
    assert ask(tools=[WEATHER], messages=messages).content[0].text == SAID
    error = refused(anthropic.BadRequestError, lambda: ask(tools=[WEATHER], messages=messages[:-1]))
    assert "without `tool_result`" in error.api_message, error
    assert ask(tools=[WEATHER], tool_choice={"type": "none"}).stop_reason == "end_turn"


def images_and_documents_are_taken():
    content = [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}},
        {"type": "image", "source": {"type": "url", "url": "https://images.test/a.png"}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}},
        {"type": "text", "text": "What is this?", "cache_control": {"type": "ephemeral"}},
    ]
    assert ask(messages=[{"role": "user", "content": content}]).content[0].text == SAID


def errors_are_the_classes_that_users_catch():
    rows = [
        (400, anthropic.BadRequestError, "invalid_request_error"),
        (401, anthropic.AuthenticationError, "authentication_error"),
        (402, anthropic.PaymentRequiredError, "billing_error"),
        (403, anthropic.PermissionDeniedError, "permission_error"),
        (404, anthropic.NotFoundError, "not_found_error"),
        (409, anthropic.ConflictError, "conflict_error"),
        (413, anthropic.ContentTooLargeError, "request_too_large"),
        (429, anthropic.RateLimitError, "rate_limit_error"),
        (500, anthropic.InternalServerError, "api_error"),
        (504, anthropic.GatewayTimeoutError, "timeout_error"),
        (529, anthropic.OverloadedError, "overloaded_error"),
    ]
    for status, kind, word in rows:
        for stream in (False, True):
            error = refused(kind, lambda: ask(model=f"sim:status={status}", stream=stream))
            assert (error.status_code, error.type) == (status, word), error
            assert error.request_id == error.body["request_id"], error.body
    error = refused(anthropic.NotFoundError, lambda: ask(model="claude-none"))
    assert error.api_message == "model: claude-none", error
    error = refused(anthropic.BadRequestError, lambda: ask(extra_body={"temperature": 1.0}))
    assert error.api_message == "temperature: Extra inputs are not permitted", error
    error = refused(anthropic.BadRequestError, lambda: ask(messages=[]))
    assert error.api_message.startswith("messages: "), error


def what_limits_a_caller_is_told():
    limited = "sim:status=429,retry-after=1500ms"
    error = refused(anthropic.RateLimitError, lambda: ask(model=limited))
    assert error.response.headers["retry-after"] == "2"
    assert error.response.headers["x-should-retry"] == "true"
    shared = anthropic.types.shared
    error = refused(shared.EnforcedSpendLimitReachedError, lambda: ask(model="sim:quota"))
    assert error.error_code == "enforced_spend_limit_reached", error
    assert "retry-after" not in error.response.headers
    raw = client.messages.with_raw_response.create(model="sim:rpm=5", max_tokens=9, messages=HELLO)
    assert raw.headers["anthropic-ratelimit-requests-limit"] == "5", raw.headers
    assert raw.headers["anthropic-ratelimit-requests-remaining"] == "4"
    assert raw.headers["anthropic-ratelimit-requests-reset"].endswith("Z")


def a_refusal_is_retried_when_it_says_so_and_only_then():
    patient = client.with_options(max_retries=2)
    began = time.monotonic()
    message = ask(patient, model="sim:tokens=4,status=429,times=1,retry-after=1", extra_headers={"x-sim-key": "a"})
    assert message.content[0].text == SAID and time.monotonic() - began >= 1
    message = ask(patient, model="sim:tokens=4,status=529,times=1", extra_headers={"x-sim-key": "b"})
    assert message.content[0].text == SAID
    key = {"x-sim-key": "c"}
    shared = anthropic.types.shared
    refused(shared.EnforcedSpendLimitReachedError, lambda: ask(patient, model="sim:quota,times=1", extra_headers=key))


def a_stream_that_fails_raises():
    stream = ask(model="sim:tokens=8,error-after=4", stream=True)
    error = refused(anthropic.APIStatusError, lambda: list(stream))
    assert error.type == "overloaded_error" and error.api_message == "Overloaded", error
    stream = ask(model="sim:tokens=8,cut-after=4", stream=True)
    try:
        list(stream)
    except Exception as error:
        assert "Protocol" in type(error).__name__ or isinstance(error, anthropic.APIConnectionError), repr(error)
    else:
        raise AssertionError("a stream that was cut off ended well")


def models_are_listed_and_tokens_counted():
    models = {model.id: model for model in client.models.list()}
    assert {"sim", "sim-60ms"} <= models.keys(), models
    assert client.models.retrieve("sim") == models["sim"]
    refused(anthropic.NotFoundError, lambda: client.models.retrieve("none"))
    assert client.messages.count_tokens(model="sim", messages=HELLO).input_tokens > 0


def the_earlier_version_takes_a_temperature():
    earlier = {"anthropic-version": "2023-06-01"}
    sampling = {"temperature": 0.5, "top_p": 0.9, "top_k": 4}
    assert ask(extra_headers=earlier, extra_body=sampling).content[0].text == SAID


async def the_asynchronous_client_works_alike():
    async with anthropic.AsyncAnthropic(**OPTIONS) as client:

        async def ask():
            options = {"model": "sim:tokens=4,gap=2ms", "max_tokens": 100, "messages": HELLO}
            async with client.messages.stream(**options) as stream:
                return "".join([piece async for piece in stream.text_stream])

        assert await asyncio.gather(*(ask() for _ in range(20))) == [SAID] * 20


run(
    a_message_is_answered,
    a_message_is_streamed,
    the_stream_helper_puts_the_message_together,
    a_tool_is_called_and_its_result_read,
    images_and_documents_are_taken,
    errors_are_the_classes_that_users_catch,
    what_limits_a_caller_is_told,
    a_refusal_is_retried_when_it_says_so_and_only_then,
    a_stream_that_fails_raises,
    models_are_listed_and_tokens_counted,
    the_earlier_version_takes_a_temperature,
    the_asynchronous_client_works_alike,
)
