"""The Responses API of the official OpenAI SDK for Python against the simulated provider; only the base URL is ours.

Responses are validated strictly: a field that is missing or mistyped is an error. `.stream()` puts each answer together, and
complains of events that come out of their order.
"""

import sys

import openai
from pydantic import BaseModel

URL = sys.argv[1]
OPTIONS = {"base_url": URL + "/v1", "api_key": "none", "max_retries": 0, "_strict_response_validation": True}
WORDS = "A stream of"
WEATHER = {
    "type": "function",
    "name": "weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "strict": False,
}
client = openai.OpenAI(**OPTIONS)


class City(BaseModel):
    name: str
    people: int


def refused(kind, call):
    """The error of `kind` that `call` must end with."""
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def ask(model="sim:tokens=3", **options):
    return client.responses.create(**{"model": model, "input": "hello"} | options)


def streamed(model="sim:tokens=3", **options):
    """The events and the response that the SDK puts together of them."""
    options = {"model": model, "input": "hello"} | options
    with client.responses.stream(**options) as stream:
        events = list(stream)
    assert [event.sequence_number for event in events] == list(range(len(events))), events
    return events


def types(events):
    return [event.type.removeprefix("response.") for event in events]


def a_response_has_every_member():
    response = ask(instructions="be brief", metadata={"k": "v"}, temperature=0.5, store=False)
    assert (response.status, response.output_text, response.error) == ("completed", WORDS, None), response
    assert response.metadata == {"k": "v"} and response.instructions == "be brief" and response.temperature == 0.5
    assert response.store is False and response.completed_at >= response.created_at > 1_700_000_000
    usage = response.usage
    assert usage.output_tokens == 3 and usage.input_tokens > 0 and usage.input_tokens_details.cached_tokens == 0
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens
    assert response._request_id.startswith("req_")


def a_stream_comes_in_the_order_of_the_api():
    events = streamed()
    assert types(events) == [
        "created", "in_progress", "output_item.added", "content_part.added", "output_text.delta", "output_text.delta",
        "output_text.delta", "output_text.done", "content_part.done", "output_item.done", "completed",
    ], types(events)  # fmt: skip
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == WORDS
    last = events[-1].response
    assert last.output_text == WORDS and last.usage.output_tokens == 3 and last.id == events[0].response.id


def thoughts_come_first_and_are_counted():
    thinking = {"effort": "low", "summary": "auto"}
    thoughts = "The question is plain and so is its answer."
    events = streamed(reasoning=thinking)
    assert types(events)[2:11] == [
        "output_item.added", "reasoning_summary_part.added", *["reasoning_summary_text.delta"] * 4,
        "reasoning_summary_text.done", "reasoning_summary_part.done", "output_item.done",
    ], types(events)  # fmt: skip
    for response in (events[-1].response, ask(reasoning=thinking)):
        reasoning, message = response.output
        assert (reasoning.type, reasoning.summary[0].text) == ("reasoning", thoughts), reasoning
        assert message.content[0].text == WORDS and reasoning.encrypted_content
        assert response.usage.output_tokens_details.reasoning_tokens == 4 and response.usage.output_tokens == 7
    assert ask(reasoning={"effort": "low"}).output[0].summary == []
    assert [item.type for item in ask(reasoning={"effort": "none"}).output] == ["message"]
    again = [{"role": "user", "content": "hello"}, *ask(reasoning=thinking).output, {"role": "user", "content": "more"}]
    assert ask(input=again).output_text == WORDS


def a_tool_is_called_and_its_answer_read():
    question = {"role": "user", "content": "how is the weather?"}
    events = streamed(input=[question], tools=[WEATHER])
    assert types(events)[2:4] == ["output_item.added", "function_call_arguments.delta"]
    assert types(events)[-3:] == ["function_call_arguments.done", "output_item.done", "completed"]
    pieces = [event.delta for event in events if event.type == "response.function_call_arguments.delta"]
    [call] = events[-1].response.output
    assert "".join(pieces) == call.arguments == '{"city":"sim"}' and len(pieces) > 1 and call.name == "weather"
    [whole] = ask(input=[question], tools=[WEATHER], tool_choice={"type": "function", "name": "weather"}).output
    assert whole.arguments == call.arguments
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    assert ask(input=[question, call, result], tools=[WEATHER]).output_text == WORDS
    assert ask(tools=[WEATHER], tool_choice="none").output_text == WORDS
    error = refused(openai.BadRequestError, lambda: ask(input=[question, result], tools=[WEATHER]))
    assert "No tool call found" in error.message, error
    error = refused(openai.BadRequestError, lambda: ask(input=[question, call], tools=[WEATHER]))
    assert "No tool output found" in error.message, error


def an_answer_is_parsed():
    parsed = client.responses.parse(model="sim", input="a city", text_format=City).output_parsed
    assert parsed == City(name="sim", people=1), parsed
    with client.responses.stream(model="sim", input="a city", text_format=City) as stream:
        assert stream.get_final_response().output_parsed == parsed


def pictures_and_roles_are_taken():
    picture = {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "low"}
    content = [{"type": "input_text", "text": "what is it?"}, picture]
    said = [{"role": "developer", "content": "be brief"}, {"role": "user", "content": content}]
    said.append({"role": "assistant", "content": [{"type": "output_text", "text": "a cat"}]})
    assert ask(input=[*said, {"role": "user", "content": "sure?"}]).output_text == WORDS


def a_long_prompt_is_cached():
    long = "word " * 2_000
    usage = ask(input=long, prompt_cache_key="k").usage
    assert 0 < usage.input_tokens_details.cached_tokens <= usage.input_tokens, usage
    assert usage.input_tokens_details.cached_tokens % 128 == 0
    assert ask(input=long).usage.input_tokens_details.cached_tokens == 0


def answers_that_end_otherwise_say_so():
    cut = ask(model="sim:tokens=40", max_output_tokens=16)
    assert (cut.status, cut.incomplete_details.reason) == ("incomplete", "max_output_tokens"), cut
    assert types(streamed(model="sim:tokens=40", max_output_tokens=16))[-1] == "incomplete"
    filtered = ask(model="sim:tokens=4,filtered")
    assert (filtered.status, filtered.incomplete_details.reason) == ("incomplete", "content_filter")
    assert filtered.output_text == "A stream", filtered
    for response in (ask(model="sim:refusal"), streamed(model="sim:refusal")[-1].response):
        content = response.output[0].content[0]
        assert (content.type, content.refusal) == ("refusal", "I cannot help with that."), response
    assert "refusal.delta" in types(streamed(model="sim:refusal"))
    failed = ask(model="sim:tokens=4,failed")
    assert (failed.status, failed.error.code) == ("failed", "server_error"), failed
    events = streamed(model="sim:tokens=4,failed")
    assert types(events)[-1] == "failed" and events[-1].response.error.code == "server_error"


def a_stream_breaks_as_the_api_breaks():
    events = streamed(model="sim:tokens=4,error-after=5")
    assert types(events)[-2:] == ["error", "failed"] and events[-2].code == "server_error", events
    with client.responses.stream(model="sim:tokens=4,no-done", input="hello") as stream:
        refused(RuntimeError, stream.get_final_response)
    refused(openai.APIConnectionError, lambda: streamed(model="sim:tokens=4,cut-after=5"))
    assert types(streamed(model="sim:tokens=4,truncate"))[-1] == "output_text.delta", "the last event has no end"
    refused(ValueError, lambda: streamed(model="sim:malformed"))


def errors_are_the_classes_that_users_catch():
    error = refused(openai.NotFoundError, lambda: ask(model="gpt-none"))
    assert (error.code, error.param) == ("model_not_found", "model") and error.request_id, error
    for options, param, code in (
        ({"extra_body": {"messages": []}}, "messages", "unsupported_parameter"),
        ({"extra_body": {"colour": "red"}}, "colour", "unknown_parameter"),
        ({"input": []}, "input", "invalid_value"),
        ({"max_output_tokens": 2}, "max_output_tokens", "invalid_value"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools[0].name", "missing_required_parameter"),
        ({"tool_choice": {"type": "function", "name": "f"}}, "tool_choice", "invalid_value"),
        ({"text": {"format": {"type": "json_object"}}}, "input", "invalid_value"),
        ({"previous_response_id": "resp_1"}, "previous_response_id", "previous_response_not_found"),
        ({"input": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]}, "input[0].content[0].type", "invalid_value"),
    ):
        error = refused(openai.BadRequestError, lambda options=options: ask(**options))
        assert (error.param, error.code) == (param, code), error
    for stream in (False, True):
        refused(openai.RateLimitError, lambda: ask(model="sim:429", stream=stream))
        refused(openai.InternalServerError, lambda: ask(model="sim:503", stream=stream))
    error = refused(openai.RateLimitError, lambda: ask(model="sim:quota"))
    assert error.code == "insufficient_quota", error


a_response_has_every_member()
a_stream_comes_in_the_order_of_the_api()
thoughts_come_first_and_are_counted()
a_tool_is_called_and_its_answer_read()
an_answer_is_parsed()
pictures_and_roles_are_taken()
a_long_prompt_is_cached()
answers_that_end_otherwise_say_so()
a_stream_breaks_as_the_api_breaks()
errors_are_the_classes_that_users_catch()
