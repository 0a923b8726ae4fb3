"""The official Ollama client for Python against the simulated provider: only the host is ours."""

import base64
import json
import sys

from checks import run
import ollama

URL = sys.argv[1]
MODEL = "sim:tokens=4"
SAID = "A stream of work"
HELLO = [{"role": "user", "content": "hello"}]
client = ollama.Client(host=URL)
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tells the weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def ask(**options):
    return client.chat(**{"model": MODEL, "messages": HELLO} | options)


def refused(call):
    """The error that `call` must end with."""
    try:
        call()
    except ollama.ResponseError as error:
        return error
    raise AssertionError("no ResponseError")


def a_chat_is_answered():
    answer = ask(options={"temperature": 0.5})
    assert (answer.message.role, answer.message.content) == ("assistant", SAID), answer
    assert (answer.done, answer.done_reason, answer.model) == (True, "stop", MODEL), answer
    assert answer.prompt_eval_count > 0 and answer.eval_count == 4, answer
    assert answer.total_duration > 0 and answer.created_at
    assert ask(options={"num_predict": 2}).done_reason == "length"


def a_chat_is_streamed():
    *parts, last = list(ask(stream=True))
    assert "".join(part.message.content for part in parts) == SAID
    assert len(parts) == 4 and not any(part.done for part in parts)
    assert (last.done, last.done_reason, last.eval_count) == (True, "stop", 4), last


def thinking_comes_first():
    answer = ask(think="low")
    assert answer.message.thinking and answer.message.content == SAID, answer
    parts = list(ask(think=True, stream=True))
    assert parts[0].message.thinking and not parts[0].message.content


def an_answer_keeps_to_its_schema():
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    assert json.loads(ask(format=schema).message.content) == {"city": "sim"}
    assert json.loads(ask(format="json").message.content) == {}


def a_tool_is_called_and_its_answer_read():
    answer = ask(tools=[WEATHER])
    call = answer.message.tool_calls[0].function
    assert (call.name, dict(call.arguments)) == ("weather", {"city": "sim"}), call
    assert answer.done_reason == "stop", "a call of a tool has no reason of its own"
    messages = [*HELLO, answer.message, {"role": "tool", "tool_name": "weather", "content": "sunny"}]
    assert ask(messages=messages, tools=[WEATHER]).message.content == SAID
    calls = [call for part in ask(tools=[WEATHER], stream=True) for call in part.message.tool_calls or []]
    assert [call.function.name for call in calls] == ["weather"]


def images_are_taken():
    image = base64.b64encode(b"\x89PNG").decode()
    assert ask(messages=[{"role": "user", "content": "look", "images": [image]}]).message.content == SAID


def texts_become_vectors():
    both = client.embed(model="sim", input=["hello", "world"], dimensions=8)
    assert [len(vector) for vector in both.embeddings] == [8, 8]
    assert both.embeddings[0] != both.embeddings[1]
    assert both.prompt_eval_count > 0
    one = client.embed(model="sim", input="hello", dimensions=8)
    assert one.embeddings[0] == both.embeddings[0]


def errors_are_told():
    rows = [("llama-none", 404, "not found"), ("sim:503", 503, "server busy"), ("sim:400", 400, "refused")]
    for model, status, words in rows:
        for call in (lambda: ask(model=model), lambda: list(ask(model=model, stream=True))):
            error = refused(call)
            assert error.status_code == status and words in error.error, (model, error)


def a_stream_that_breaks_raises():
    error = refused(lambda: list(ask(model="sim:tokens=8,error-after=3", stream=True)))
    assert "error was encountered" in error.error, error


async def the_asynchronous_client_works_alike():
    client = ollama.AsyncClient(host=URL)
    answer = await client.chat(model=MODEL, messages=HELLO)
    assert answer.message.content == SAID
    stream = await client.chat(model=MODEL, messages=HELLO, stream=True)
    assert "".join([part.message.content async for part in stream]) == SAID


run(
    a_chat_is_answered,
    a_chat_is_streamed,
    thinking_comes_first,
    an_answer_keeps_to_its_schema,
    a_tool_is_called_and_its_answer_read,
    images_are_taken,
    texts_become_vectors,
    errors_are_told,
    a_stream_that_breaks_raises,
    the_asynchronous_client_works_alike,
)
