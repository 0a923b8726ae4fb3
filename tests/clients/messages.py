"""The official Anthropic SDK for Python against a running Dynode: only the base URL is ours.

Responses are validated strictly: a field that is missing or mistyped is an error. The second URL is of a server that
does one thing at a time and has a budget that is too small.
"""

import asyncio
import sys
import time

import anthropic
from checks import run

URL, TIGHT = sys.argv[1:3]
HELLO = [{"role": "user", "content": "Hello there, world"}]
SAID = "You said: Hello there, world"
CALL = [{"role": "user", "content": "please call weather"}]
WEATHER = {
    "name": "weather",
    "description": "Tells the weather.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
OPTIONS = {"base_url": URL, "api_key": "none", "max_retries": 0, "_strict_response_validation": True}
client = anthropic.Anthropic(**OPTIONS)


def ask(to=client, **options):
    return to.messages.create(**{"model": "sim-fast", "max_tokens": 100, "messages": HELLO} | options)


def stream(**options):
    return client.messages.stream(**{"model": "sim-fast", "max_tokens": 100, "messages": HELLO} | options)


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
    (block,) = message.content
    assert (block.type, block.text) == ("text", SAID), message
    assert (message.type, message.role, message.stop_reason) == ("message", "assistant", "end_turn"), message
    assert message.model == "sim-fast" and message.id == f"msg_{message._request_id}", message
    assert message.usage.input_tokens > 0 and message.usage.output_tokens > 0, message.usage
    outcome = client.get(f"/v1/requests/{message._request_id}", cast_to=object)
    assert outcome["status"] == "succeeded" and outcome["output"]["text"] == SAID, outcome


def a_message_is_streamed():
    events = list(ask(stream=True))
    kinds = [event.type for event in events]
    pieces = kinds.count("content_block_delta")
    assert pieces > 3, "it came in one piece"
    assert kinds == [
        "message_start",
        "content_block_start",
        *["content_block_delta"] * pieces,
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert "".join(event.delta.text for event in events if event.type == "content_block_delta") == SAID


def the_stream_helper_puts_the_message_together():
    with stream() as running:
        pieces = list(running.text_stream)
        message = running.get_final_message()
        assert running.request_id and message.id == f"msg_{running.request_id}"
    assert "".join(pieces) == message.content[0].text == running.get_final_text() == SAID
    whole = ask()
    assert message.to_dict() | {"id": whole.id} == whole.to_dict()


def limits_and_stop_sequences_are_honoured():
    assert ask(max_tokens=2).stop_reason == "max_tokens"
    assert ask(stop_sequences=["there"]).content[0].text == "You said: Hello "
    begun = [*HELLO, {"role": "assistant", "content": "You said: Hello"}]
    assert ask(messages=begun).content[0].text == " there, world", "what was begun is gone on with"


def a_tool_is_called_and_its_result_read():
    message = ask(messages=CALL, tools=[WEATHER])
    (call,) = message.content
    assert (call.type, call.name, call.input) == ("tool_use", "weather", {"city": "city"}), message
    assert message.stop_reason == "tool_use"
    with stream(messages=CALL, tools=[WEATHER]) as running:
        inputs = [event.partial_json for event in running if event.type == "input_json"]
        streamed = running.get_final_message()
    assert len(inputs) > 1 and streamed.content[0].input == call.input, inputs
    assert streamed.stop_reason == "tool_use"
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
    for content in ("sunny", [{"type": "text", "text": "sunny"}, image]):
        result = {"type": "tool_result", "tool_use_id": call.id, "content": content}
        messages = [*CALL, message.to_param(), {"role": "user", "content": [result]}]
        assert ask(tools=[WEATHER], messages=messages).content[0].text == "The tool said: sunny"
    assert ask(tools=[WEATHER], tool_choice={"type": "any"}).content[0].name == "weather"
    assert ask(tools=[WEATHER], messages=CALL, tool_choice={"type": "none"}).stop_reason == "end_turn"


def the_tool_runner_runs():
    seen = []

    @anthropic.beta_tool
    def weather(city: str) -> str:
        """Tells the weather.

        Args:
            city: Where.
        """
        seen.append(city)
        return "sunny"

    options = {"model": "sim-fast", "max_tokens": 100, "messages": CALL}
    runner = client.beta.messages.tool_runner(**options, tools=[weather])
    assert runner.until_done().content[0].text == "The tool said: sunny"
    assert seen == ["city"]


def images_and_documents_are_taken():
    content = [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}},
        {"type": "image", "source": {"type": "url", "url": "https://images.test/a.png"}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}},
        {"type": "text", "text": "What is this?", "cache_control": {"type": "ephemeral"}},
    ]
    assert ask(messages=[{"role": "user", "content": content}]).content[0].text == "You said: What is this?"


def answers_keep_to_a_schema():
    schema = WEATHER["input_schema"] | {"additionalProperties": False}
    message = ask(output_config={"format": {"type": "json_schema", "schema": schema}})
    assert message.content[0].text == '{"city":"city"}', message
    error = refused(
        anthropic.BadRequestError,
        lambda: ask(output_config={"format": {"type": "json_schema", "schema": {"type": "nonsense"}}}),
    )
    assert error.body["error"]["details"]["param"].startswith("output_config.format.schema"), error.body


def both_versions_are_spoken():
    earlier = {"anthropic-version": "2023-06-01", "x-api-key": "none"}
    sampling = {"temperature": 0.5, "top_p": 0.9, "top_k": 4}
    assert ask(extra_headers=earlier, extra_body=sampling).content[0].text == SAID
    error = refused(anthropic.BadRequestError, lambda: ask(extra_body=sampling))
    assert error.api_message.startswith("temperature: "), error


def errors_are_the_classes_that_users_catch():
    for streamed in (False, True):
        error = refused(anthropic.NotFoundError, lambda: ask(model="claude-none", stream=streamed))
        assert (error.type, error.body["error"]["details"]["param"]) == ("not_found_error", "model"), error.body
        assert error.request_id == error.body["request_id"], error.body
        failing = {"simulate": {"fail": "provider_error"}}
        error = refused(anthropic.InternalServerError, lambda: ask(extra_body=failing, stream=streamed))
        assert (error.status_code, error.type, error.error_code) == (502, "api_error", "provider_error"), error
    error = refused(anthropic.BadRequestError, lambda: ask(messages=[]))
    assert error.type == "invalid_request_error" and error.api_message.startswith("messages: "), error
    search = {"type": "web_search_20260318", "name": "web_search"}
    error = refused(anthropic.BadRequestError, lambda: ask(tools=[search]))
    assert error.api_message.startswith("tools[0].type: `web_search_20260318`"), error
    error = refused(anthropic.ContentTooLargeError, lambda: ask(system="x" * 9_000_000))
    assert error.type == "request_too_large", error
    refused(anthropic.NotFoundError, lambda: client.messages.batches.list())


def a_stream_that_breaks_raises():
    running = ask(stream=True, extra_body={"simulate": {"fail": "invalid_request", "after_tokens": 2}})
    error = refused(anthropic.APIStatusError, lambda: list(running))
    assert error.type and error.api_message, error


def a_time_out_is_one():
    slow = {"simulate": {"first_token_ms": 20_000}}
    began = time.monotonic()
    refused(anthropic.APITimeoutError, lambda: ask(client.with_options(timeout=0.3), extra_body=slow))
    assert time.monotonic() - began < 10


class Counted(anthropic.DefaultHttpxClient):
    """Counts what is sent."""

    sent = 0

    def send(self, request, **options):
        self.sent += 1
        return super().send(request, **options)


def what_is_full_is_tried_again_and_what_is_spent_is_not():
    counted = Counted()
    options = OPTIONS | {"base_url": TIGHT, "http_client": counted}
    tight = anthropic.Anthropic(**options | {"max_retries": 1})
    error = refused(anthropic.types.shared.EnforcedSpendLimitReachedError, lambda: ask(tight, model="paid"))
    assert isinstance(error, anthropic.RateLimitError) and "budget" in error.api_message, error
    assert error.response.headers["x-should-retry"] == "false" and counted.sent == 1, counted.sent

    slow = {"simulate": {"tokens": 1_000, "tokens_per_second": 1, "first_token_ms": 0}}
    held = ask(tight, stream=True, extra_body=slow)
    counted.sent = 0
    began = time.monotonic()
    error = refused(anthropic.OverloadedError, lambda: ask(tight))
    waited = time.monotonic() - began
    assert (error.status_code, error.type) == (529, "overloaded_error"), error
    hint = float(error.response.headers["retry-after-ms"]) / 1000
    assert hint >= 1 and waited >= 1 and counted.sent == 2, (hint, waited, counted.sent)
    held.close()


def models_are_listed_and_tokens_counted():
    models = {model.id: model for model in client.models.list(limit=1)}
    assert {"sim-chat", "sim-fast"} <= models.keys() and "sim-embed" not in models, models
    assert client.models.retrieve("sim-chat") == models["sim-chat"]
    refused(anthropic.NotFoundError, lambda: client.models.retrieve("none"))
    short = client.messages.count_tokens(model="sim-fast", messages=HELLO).input_tokens
    with_tools = client.messages.count_tokens(model="sim-fast", messages=HELLO, tools=[WEATHER]).input_tokens
    assert 0 < short < with_tools, (short, with_tools)


def the_same_key_is_the_same_request():
    headers = {"Idempotency-Key": "py-message"}
    first, again = ask(extra_headers=headers), ask(extra_headers=headers)
    assert first.id == again.id == "msg_py-message" and first.content == again.content
    refused(anthropic.ConflictError, lambda: ask(messages=CALL, extra_headers=headers))


async def the_asynchronous_client_works_alike():
    async with anthropic.AsyncAnthropic(**OPTIONS) as client:

        async def ask(number):
            messages = [{"role": "user", "content": f"number {number}"}]
            async with client.messages.stream(model="sim-fast", max_tokens=100, messages=messages) as running:
                return "".join([piece async for piece in running.text_stream])

        answers = await asyncio.gather(*(ask(number) for number in range(20)))
        assert answers == [f"You said: number {number}" for number in range(20)], answers


run(
    a_message_is_answered,
    a_message_is_streamed,
    the_stream_helper_puts_the_message_together,
    limits_and_stop_sequences_are_honoured,
    a_tool_is_called_and_its_result_read,
    the_tool_runner_runs,
    images_and_documents_are_taken,
    answers_keep_to_a_schema,
    both_versions_are_spoken,
    errors_are_the_classes_that_users_catch,
    a_stream_that_breaks_raises,
    a_time_out_is_one,
    what_is_full_is_tried_again_and_what_is_spent_is_not,
    models_are_listed_and_tokens_counted,
    the_same_key_is_the_same_request,
    the_asynchronous_client_works_alike,
)
