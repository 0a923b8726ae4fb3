"""The official Anthropic SDK for Python against a Dynode whose models are Anthropic's: two translations lie between."""

import json
import sys

import anthropic
from checks import run

HELLO = [{"role": "user", "content": "hello"}]
SAID = "A stream of work"
WEATHER = {
    "name": "weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
OPTIONS = {"api_key": "none", "max_retries": 0, "_strict_response_validation": True}
client = anthropic.Anthropic(base_url=sys.argv[1], **OPTIONS)


def ask(**options):
    return client.messages.create(**{"model": "claude", "max_tokens": 100, "messages": HELLO} | options)


def stream(**options):
    return client.messages.stream(**{"model": "claude", "max_tokens": 100, "messages": HELLO} | options)


def a_message_is_answered_and_streamed():
    message = ask(system=[{"type": "text", "text": "Be brief."}], metadata={"user_id": "u-1"})
    assert message.content[0].text == SAID and message.stop_reason == "end_turn", message
    assert message.usage.input_tokens > 0 and message.usage.output_tokens == 4, message.usage
    message = ask()
    with stream() as running:
        assert "".join(running.text_stream) == SAID
        assert running.get_final_message().to_dict() | {"id": message.id} == message.to_dict()
    assert ask(max_tokens=2).stop_reason == "max_tokens"


def thinking_is_shown_to_whom_asks():
    thinking = {"type": "adaptive"}
    thought, said = ask(thinking=thinking).content
    assert thought.thinking and said.text == SAID
    with stream(thinking=thinking) as running:
        streamed = running.get_final_message()
    assert [block.type for block in streamed.content] == ["thinking", "text"], streamed
    assert streamed.content[0].thinking == thought.thinking
    assert streamed.usage.output_tokens_details.thinking_tokens == 4, streamed.usage
    for unasked in ({"output_config": {"effort": "low"}}, {"thinking": thinking | {"display": "omitted"}}):
        (only,) = ask(**unasked).content
        assert only.text == SAID
    again = [*HELLO, streamed.to_param(), {"role": "user", "content": "and?"}]
    assert ask(messages=again, thinking=thinking).content[1].text == SAID


def a_tool_is_called_and_its_result_read():
    with stream(tools=[WEATHER], tool_choice={"type": "tool", "name": "weather"}) as running:
        inputs = [event.partial_json for event in running if event.type == "input_json"]
        message = running.get_final_message()
    (call,) = message.content
    assert json.loads("".join(inputs)) == call.input == {"city": "sim"} and call.name == "weather", message
    assert message.stop_reason == "tool_use"
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
    content = [{"type": "text", "text": "rain"}, image]
    result = {"type": "tool_result", "tool_use_id": call.id, "content": content, "is_error": True}
    messages = [*HELLO, message.to_param(), {"role": "user", "content": [result, {"type": "text", "text": "so?"}]}]
    assert ask(tools=[WEATHER], messages=messages).content[0].text == SAID


def what_was_thought_before_a_call_comes_back_with_it():
    options = {"max_tokens": 3_000, "tools": [WEATHER], "thinking": {"type": "adaptive"}}
    message = ask(**options)
    thought, call = message.content
    # The provider vouches for its thoughts: what it is given back of them is its own, or it refuses.
    assert thought.thinking and "--" in call.id, message
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "rain"}
    again = [*HELLO, message.to_param(), {"role": "user", "content": [result]}]
    assert ask(messages=again, **options).content[1].text == SAID


def images_and_documents_are_taken():
    content = [
        {"type": "image", "source": {"type": "url", "url": "https://images.test/a.png"}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}, "title": "t"},
        {"type": "text", "text": "What is this?", "cache_control": {"type": "ephemeral"}},
    ]
    assert ask(messages=[{"role": "user", "content": content}]).content[0].text == SAID


def what_fails_there_is_told_or_got_over():
    assert ask(model="claude-busy").content[0].text == SAID
    try:
        ask(model="claude-none")
    except anthropic.APIStatusError as error:
        assert error.status_code in (400, 502) and error.request_id, error
    else:
        raise AssertionError("a request that Anthropic refuses was answered")


run(
    a_message_is_answered_and_streamed,
    thinking_is_shown_to_whom_asks,
    a_tool_is_called_and_its_result_read,
    what_was_thought_before_a_call_comes_back_with_it,
    images_and_documents_are_taken,
    what_fails_there_is_told_or_got_over,
)
