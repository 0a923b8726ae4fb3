"""The official OpenAI SDK for Python against a running Dynode: only the base URL is ours.

Responses are validated strictly: a field that is missing or mistyped is an error.
"""

import asyncio
import base64
import struct
import sys
import time
import urllib.request

from checks import refused, run
import openai
from pydantic import BaseModel

URL = sys.argv[1] + "/v1"
HELLO = [{"role": "user", "content": "Hello there, world"}]
SAID = "You said: Hello there, world"
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
OPTIONS = {"base_url": URL, "api_key": "none", "max_retries": 0, "_strict_response_validation": True}
client = openai.OpenAI(**OPTIONS)
# The SDK asks for base64 unless it is told otherwise, and its own types know only arrays: strictness refuses that.
lenient = openai.OpenAI(**OPTIONS | {"_strict_response_validation": False})


class City(BaseModel):
    name: str
    people: int


def ask(**options):
    return client.chat.completions.create(**{"model": "sim-fast", "messages": HELLO} | options)


def a_chat_is_answered():
    completion = ask()
    assert completion.choices[0].message.content == SAID, completion
    assert completion.choices[0].message.role == "assistant"
    assert completion.choices[0].finish_reason == "stop"
    assert completion.model == "sim-fast"
    usage = completion.usage
    assert usage.prompt_tokens > 0 and usage.completion_tokens > 0, usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    outcome = client.get(f"/requests/{completion._request_id}", cast_to=object)
    assert outcome["status"] == "succeeded" and outcome["output"]["text"] == SAID, outcome


def a_chat_is_streamed():
    chunks = list(ask(stream=True))
    assert all(chunk.choices for chunk in chunks), "a chunk without choices that nobody asked for"
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == SAID
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert len(chunks) > 3, "it came in one piece"


def usage_is_the_last_chunk_where_it_is_asked_for():
    *chunks, last = ask(stream=True, stream_options={"include_usage": True})
    assert last.choices == [] and last.usage.completion_tokens > 0, last
    assert all(chunk.usage is None for chunk in chunks)


def the_stream_helper_puts_the_answer_together():
    options = {"model": "sim-fast", "messages": HELLO, "stream_options": {"include_usage": True}}
    with client.chat.completions.stream(**options) as stream:
        deltas = [event.delta for event in stream if event.type == "content.delta"]
        completion = stream.get_final_completion()
    assert "".join(deltas) == completion.choices[0].message.content == SAID
    assert completion.usage.completion_tokens > 0, completion


def an_answer_is_parsed():
    options = {"model": "sim-fast", "messages": HELLO, "response_format": City}
    assert isinstance(client.chat.completions.parse(**options).choices[0].message.parsed, City)
    with client.chat.completions.stream(**options) as stream:
        assert isinstance(stream.get_final_completion().choices[0].message.parsed, City)


def several_choices_and_a_limit_are_honoured():
    completion = ask(n=2, max_completion_tokens=2)
    assert [choice.index for choice in completion.choices] == [0, 1]
    assert [choice.finish_reason for choice in completion.choices] == ["length", "length"]
    assert ask(stop=["there"]).choices[0].message.content == "You said: Hello "


def a_tool_is_called_and_its_answer_read():
    messages = [{"role": "user", "content": "please call weather"}]
    message = ask(messages=messages, tools=[WEATHER]).choices[0].message
    call = message.tool_calls[0]
    assert (call.type, call.function.name, call.function.arguments) == ("function", "weather", '{"city":"city"}')
    messages += [message, {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
    assert ask(messages=messages, tools=[WEATHER]).choices[0].message.content == "The tool said: sunny"
    with client.chat.completions.stream(model="sim-fast", messages=messages[:1], tools=[WEATHER]) as stream:
        choice = stream.get_final_completion().choices[0]
    assert choice.finish_reason == "tool_calls"
    function = choice.message.tool_calls[0].function
    assert (function.name, function.arguments) == ("weather", '{"city":"city"}')


def embed(**options):
    suited = client if options.get("encoding_format") == "float" else lenient
    return suited.embeddings.create(**{"model": "sim-embed", "input": "hello"} | options)


def embeddings_come_in_the_form_that_is_asked_for():
    floats = embed(encoding_format="float").data[0].embedding
    assert len(floats) == 256
    packed = base64.b64decode(embed(encoding_format="base64").data[0].embedding)
    as_default = embed().data[0].embedding
    assert list(struct.unpack("<256f", packed)) == as_default
    assert all(abs(one - other) < 1e-6 for one, other in zip(floats, as_default, strict=True))


def a_batch_keeps_its_order():
    batch = embed(input=["hello", "something else"], dimensions=32)
    assert [item.index for item in batch.data] == [0, 1]
    assert [len(item.embedding) for item in batch.data] == [32, 32]
    assert batch.data[0].embedding == embed(dimensions=32).data[0].embedding != batch.data[1].embedding
    assert batch.usage.total_tokens >= batch.usage.prompt_tokens > 0


def paint(**options):
    return client.images.generate(**{"model": "sim-image", "prompt": "a cat", "size": "64x64"} | options)


def images_come_as_base64_or_as_links():
    images = paint(n=2)
    assert images.created > 0 and images.output_format == "png" and len(images.data) == 2, images
    pictures = [base64.b64decode(image.b64_json) for image in images.data]
    assert all(picture.startswith(b"\x89PNG") for picture in pictures) and pictures[0] != pictures[1]
    [linked] = paint(response_format="url").data
    assert linked.b64_json is None
    # The link alone is enough: whoever has it needs no key.
    with urllib.request.urlopen(linked.url) as reply:
        assert reply.headers["content-type"] == "image/png"
        assert reply.read().startswith(b"\x89PNG")
    error = refused(openai.BadRequestError, lambda: paint(n=11))
    assert error.param == "n", error


def speech_comes_as_bytes():
    options = {"model": "sim-speech", "voice": "alloy", "input": "Hello"}
    sound = client.audio.speech.create(**options).content
    assert sound.startswith(b"RIFF"), sound[:16]
    with client.audio.speech.with_streaming_response.create(**options) as response:
        assert response.headers["content-type"] == "audio/wav"
        assert len(b"".join(response.iter_bytes())) == len(sound)


def models_are_listed():
    models = {model.id: model for model in client.models.list()}
    assert {"sim-chat", "sim-fast", "sim-embed", "sim-image", "sim-speech"} <= models.keys(), models
    assert client.models.retrieve("sim-chat") == models["sim-chat"]
    refused(openai.NotFoundError, lambda: client.models.retrieve("none/such"))


def errors_are_the_classes_that_users_catch():
    error = refused(openai.NotFoundError, lambda: ask(model="gpt-none"))
    assert (error.code, error.param) == ("model_not_found", "model"), error
    assert error.request_id
    error = refused(openai.BadRequestError, lambda: ask(messages=[]))
    assert (error.param, error.type) == ("messages", "invalid_request_error"), error
    error = refused(openai.BadRequestError, lambda: ask(messages=[{"role": "bard", "content": "x"}]))
    assert error.param == "messages[0].role", error
    error = refused(openai.BadRequestError, lambda: embed(input=[]))
    assert error.param == "input", error
    failing = {"simulate": {"fail": "provider_error"}}
    error = refused(openai.InternalServerError, lambda: ask(extra_body=failing))
    assert (error.status_code, error.code) == (502, "provider_error"), error
    error = refused(openai.InternalServerError, lambda: ask(extra_body=failing, stream=True))
    assert error.status_code == 502, error


def what_may_succeed_is_tried_again_by_the_sdk_itself():
    patient = client.with_options(max_retries=2).chat.completions
    failing = {"simulate": {"fail": "provider_unavailable", "retry_after_ms": 10}}
    options = {"model": "sim-fast", "messages": HELLO}
    error = refused(openai.InternalServerError, lambda: patient.create(**options, extra_body=failing))
    assert error.response.request.headers["x-stainless-retry-count"] == "2", error
    # What can never succeed is not, though a conflict is among what the SDK repeats.
    headers = {"Idempotency-Key": "py-patient"}
    patient.create(**options, extra_headers=headers)
    other = options | {"messages": [{"role": "user", "content": "else"}], "extra_headers": headers}
    error = refused(openai.ConflictError, lambda: patient.create(**other))
    assert error.response.headers["x-should-retry"] == "false", error
    assert error.response.request.headers["x-stainless-retry-count"] == "0", error
    hasty = client.with_options(timeout=0.3).chat.completions
    slow = {"simulate": {"first_token_ms": 5_000}}
    before = time.monotonic()
    for stream in (False, True):
        refused(openai.APITimeoutError, lambda: hasty.create(**options, stream=stream, extra_body=slow))
    assert time.monotonic() - before < 4


def a_stream_that_breaks_raises():
    stream = ask(stream=True, extra_body={"simulate": {"fail": "invalid_request", "after_tokens": 2}})
    error = refused(openai.APIError, lambda: list(stream))
    assert error.code and error.message, error


def the_same_key_is_the_same_request():
    headers = {"Idempotency-Key": "py-key"}
    first, again = ask(extra_headers=headers), ask(extra_headers=headers)
    assert first.id == again.id and first._request_id == again._request_id == "py-key"
    assert again.choices == first.choices
    other = [{"role": "user", "content": "something else"}]
    error = refused(openai.ConflictError, lambda: ask(messages=other, extra_headers=headers))
    assert error.code == "conflict", error


async def the_asynchronous_client_works_alike():
    async with openai.AsyncOpenAI(**OPTIONS) as client:

        async def ask(number):
            messages = [{"role": "user", "content": f"number {number}"}]
            stream = await client.chat.completions.create(model="sim-fast", messages=messages, stream=True)
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

        answers = await asyncio.gather(*(ask(number) for number in range(20)))
        assert answers == [f"You said: number {number}" for number in range(20)], answers
        plain = await client.chat.completions.create(model="sim-fast", messages=HELLO)
        assert plain.choices[0].message.content == SAID
        options = {"model": "sim-embed", "encoding_format": "float"}
        vectors = await client.embeddings.create(**options, input=["a", "b"])
        assert len(vectors.data) == 2
        images = await client.images.generate(model="sim-image", prompt="a cat", size="64x64")
        assert len(images.data) == 1
        assert [model.id async for model in client.models.list()]


run(
    a_chat_is_answered,
    a_chat_is_streamed,
    usage_is_the_last_chunk_where_it_is_asked_for,
    the_stream_helper_puts_the_answer_together,
    an_answer_is_parsed,
    several_choices_and_a_limit_are_honoured,
    a_tool_is_called_and_its_answer_read,
    embeddings_come_in_the_form_that_is_asked_for,
    a_batch_keeps_its_order,
    images_come_as_base64_or_as_links,
    speech_comes_as_bytes,
    models_are_listed,
    errors_are_the_classes_that_users_catch,
    what_may_succeed_is_tried_again_by_the_sdk_itself,
    a_stream_that_breaks_raises,
    the_same_key_is_the_same_request,
    the_asynchronous_client_works_alike,
)
