"""Chats, embeddings and models of the official OpenAI SDK for Python against the simulated provider; only the base URL is ours.

Replies are validated strictly: a field that is missing or mistyped is an error.
"""

import sys

import openai

URL = sys.argv[1]
OPTIONS = {"base_url": URL + "/v1", "api_key": "none", "max_retries": 0, "_strict_response_validation": True}
HELLO = [{"role": "user", "content": "hello"}]
WORDS = "A stream of"
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}}
client = openai.OpenAI(**OPTIONS)


def refused(kind, call):
    """The error of `kind` that `call` must end with."""
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def chat(model="sim:tokens=3", **options):
    return client.chat.completions.create(**{"model": model, "messages": HELLO} | options)


def a_chat_is_answered():
    completion = chat(n=2)
    assert [choice.message.content for choice in completion.choices] == [WORDS, WORDS]
    assert [choice.finish_reason for choice in completion.choices] == ["stop", "stop"]
    usage = completion.usage
    assert usage.completion_tokens == 6 and usage.total_tokens == usage.prompt_tokens + 6
    assert usage.prompt_tokens_details.cached_tokens == usage.completion_tokens_details.reasoning_tokens == 0
    assert completion._request_id.startswith("req_")
    assert chat(model="sim", max_completion_tokens=2).choices[0].finish_reason == "length"


def a_chat_is_streamed():
    chunks = list(chat(stream=True, stream_options={"include_usage": True}))
    assert len({chunk.id for chunk in chunks}) == 1 and chunks[0].choices[0].delta.role == "assistant"
    pieces = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    assert "".join(piece or "" for piece in pieces) == WORDS
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == 3
    assert all(chunk.usage is None for chunk in chunks[:-1])


def a_tool_is_called_and_its_answer_read():
    call = chat(tools=[WEATHER]).choices[0].message.tool_calls[0]
    assert (call.function.name, call.function.arguments) == ("weather", '{"city":"sim"}'), call
    with client.chat.completions.stream(model="sim:tokens=3", messages=HELLO, tools=[WEATHER]) as stream:
        streamed = stream.get_final_completion().choices[0].message.tool_calls[0]
    assert streamed.function.arguments == call.function.arguments and streamed.id.startswith("call_")
    said = {"role": "assistant", "tool_calls": [call.model_dump()]}
    answered = [*HELLO, said, {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
    assert chat(messages=answered, tools=[WEATHER]).choices[0].message.content == WORDS


def it_is_told_how_likely_tokens_are():
    told = chat(logprobs=True, top_logprobs=2).choices[0].logprobs.content
    assert "".join(token.token for token in told) == WORDS and len(told) == 3
    assert all(token.logprob == token.top_logprobs[0].logprob and len(token.top_logprobs) == 2 for token in told), told
    assert bytes(told[0].bytes).decode() == told[0].token
    chunks = chat(logprobs=True, stream=True)
    pieces = [choice.logprobs for chunk in chunks for choice in chunk.choices if choice.logprobs]
    assert "".join(piece.content[0].token for piece in pieces) == WORDS, pieces
    error = refused(openai.BadRequestError, lambda: chat(top_logprobs=2))
    assert error.param == "top_logprobs", error


def vectors_come_in_both_forms():
    options = {"model": "sim", "input": ["a", "b"], "dimensions": 8}
    # The SDK asks for base64 where nothing is said, and reads it; its own strict form knows lists only.
    packed = openai.OpenAI(**OPTIONS | {"_strict_response_validation": False}).embeddings.create(**options)
    plain = client.embeddings.create(**options, encoding_format="float")
    assert [len(vector.embedding) for vector in packed.data] == [8, 8]
    for one, other in zip(packed.data, plain.data, strict=True):
        assert one.index == other.index
        assert all(abs(a - b) < 1e-6 for a, b in zip(one.embedding, other.embedding, strict=True))
    assert packed.data[0].embedding != packed.data[1].embedding and packed.usage.prompt_tokens > 0


def models_are_listed():
    ids = [model.id for model in client.models.list()]
    assert "sim" in ids and client.models.retrieve("sim").id == "sim", ids


def streams_break_as_the_api_breaks():
    refused(openai.APIError, lambda: list(chat(model="sim:tokens=4,error-after=2", stream=True)))
    refused(openai.APIConnectionError, lambda: list(chat(model="sim:tokens=4,cut-after=2", stream=True)))
    refused(ValueError, lambda: list(chat(model="sim:tokens=4,malformed", stream=True)))
    assert len(list(chat(model="sim:tokens=4,no-done", stream=True))) == 6


def errors_are_the_classes_that_users_catch():
    for status, kind in (
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError),
        (409, openai.ConflictError),
        (422, openai.UnprocessableEntityError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ):
        for stream in (False, True):
            error = refused(kind, lambda status=status, stream=stream: chat(model=f"sim:{status}", stream=stream))
            assert error.status_code == status and error.request_id.startswith("req_"), error
    error = refused(openai.RateLimitError, lambda: chat(model="sim:quota"))
    assert (error.code, error.type) == ("insufficient_quota", "insufficient_quota"), error
    error = refused(openai.BadRequestError, lambda: chat(messages=[]))
    assert error.param == "messages", error
    error = refused(openai.NotFoundError, lambda: chat(model="gpt-none"))
    assert (error.code, error.param) == ("model_not_found", "model"), error


a_chat_is_answered()
a_chat_is_streamed()
a_tool_is_called_and_its_answer_read()
it_is_told_how_likely_tokens_are()
vectors_come_in_both_forms()
models_are_listed()
streams_break_as_the_api_breaks()
errors_are_the_classes_that_users_catch()
