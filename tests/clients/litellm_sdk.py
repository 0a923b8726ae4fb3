"""litellm as a client library against a running Dynode, which it takes for the OpenAI API."""

import os
import sys

# Without these it fetches prices, and tells of its use.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
os.environ["LITELLM_TELEMETRY"] = "False"

from checks import refused, run
import litellm

litellm.telemetry = False
litellm.suppress_debug_info = True

OPTIONS = {"api_base": sys.argv[1] + "/v1", "api_key": "none", "num_retries": 0, "max_retries": 0}
CHAT = {"model": "openai/sim-fast", "messages": [{"role": "user", "content": "Hello there, world"}]} | OPTIONS
SAID = "You said: Hello there, world"
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def ask(**options):
    return litellm.completion(**CHAT | options)


def a_chat_is_answered():
    completion = ask()
    assert completion.choices[0].message.content == SAID, completion
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage.total_tokens == completion.usage.prompt_tokens + completion.usage.completion_tokens


def a_chat_is_streamed():
    chunks = list(ask(stream=True, stream_options={"include_usage": True}))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == SAID
    whole = litellm.stream_chunk_builder(chunks)
    assert whole.choices[0].message.content == SAID and whole.usage.completion_tokens > 0, whole


def a_tool_is_called():
    messages = [{"role": "user", "content": "please call weather"}]
    for stream in (False, True):
        answer = ask(messages=messages, tools=[WEATHER], stream=stream)
        completion = litellm.stream_chunk_builder(list(answer)) if stream else answer
        [call] = completion.choices[0].message.tool_calls
        assert (call.function.name, call.function.arguments) == ("weather", '{"city":"city"}'), call


def a_text_is_embedded():
    options = {"model": "openai/sim-embed", "input": ["hello", "else"], "encoding_format": "float"}
    embedding = litellm.embedding(**options | OPTIONS)
    assert [len(item["embedding"]) for item in embedding.data] == [256, 256], embedding


def a_response_is_answered_and_streamed():
    response = litellm.responses(model="openai/sim-fast", input="Hello there, world", **OPTIONS)
    assert response.output[0].content[0].text == SAID, response
    events = list(litellm.responses(model="openai/sim-fast", input="Hello there, world", stream=True, **OPTIONS))
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == SAID, events


def errors_are_the_classes_that_users_catch():
    error = refused(litellm.NotFoundError, lambda: ask(model="openai/gpt-none"))
    assert error.status_code == 404, error
    refused(litellm.BadRequestError, lambda: ask(messages=[{"role": "bard", "content": "x"}]))
    for failure, kind in (
        ("provider_unavailable", litellm.ServiceUnavailableError),
        ("provider_error", litellm.BadGatewayError),
    ):
        refused(kind, lambda failure=failure: ask(extra_body={"simulate": {"fail": failure}}))


async def the_asynchronous_calls_work_alike():
    completion = await litellm.acompletion(**CHAT)
    assert completion.choices[0].message.content == SAID
    pieces = [chunk.choices[0].delta.content or "" async for chunk in await litellm.acompletion(**CHAT, stream=True)]
    assert "".join(pieces) == SAID


run(
    a_chat_is_answered,
    a_chat_is_streamed,
    a_tool_is_called,
    a_text_is_embedded,
    a_response_is_answered_and_streamed,
    errors_are_the_classes_that_users_catch,
    the_asynchronous_calls_work_alike,
)
