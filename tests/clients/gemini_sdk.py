"""The official Google Gen AI SDK for Python against the simulated provider: only the base URL is ours.

What the SDK makes of an answer, a stream and an error is what it makes of Gemini's own.
"""

import asyncio
import sys

from google import genai
from google.genai import errors, types

URL = sys.argv[1]
MODEL = "sim:tokens=4"
SAID = "A stream of work"
client = genai.Client(api_key="none", http_options=types.HttpOptions(base_url=URL))
WEATHER = types.Tool(
    function_declarations=[
        types.FunctionDeclaration(
            name="weather",
            description="Tells the weather.",
            parameters_json_schema={
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        )
    ]
)


def ask(model=MODEL, contents="hello", **config):
    return client.models.generate_content(
        model=model, contents=contents, config=types.GenerateContentConfig(**config)
    )


def refused(kind, call):
    """The error of `kind` that `call` must end with."""
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def a_question_is_answered():
    answer = ask(system_instruction="Be brief.", temperature=0.5, seed=7)
    assert answer.text == SAID, answer
    candidate = answer.candidates[0]
    assert (candidate.finish_reason, candidate.index) == (types.FinishReason.STOP, 0), candidate
    usage = answer.usage_metadata
    assert usage.prompt_token_count > 0 and usage.candidates_token_count == 4, usage
    assert usage.total_token_count == usage.prompt_token_count + 4, usage
    assert answer.model_version == MODEL and answer.response_id
    assert ask(max_output_tokens=2).candidates[0].finish_reason == types.FinishReason.MAX_TOKENS
    assert len(ask(candidate_count=2).candidates) == 2


def a_question_is_streamed():
    chunks = list(client.models.generate_content_stream(model=MODEL, contents="hello"))
    assert "".join(chunk.text or "" for chunk in chunks) == SAID
    assert len(chunks) == 5, "a chunk a token, and the end"
    assert [chunk.candidates[0].finish_reason for chunk in chunks[:-1]] == [None] * 4
    assert chunks[-1].candidates[0].finish_reason == types.FinishReason.STOP
    assert chunks[-1].usage_metadata.candidates_token_count == 4, "usage is counted up to the last"


def thoughts_come_first():
    config = types.ThinkingConfig(include_thoughts=True, thinking_level="LOW")
    answer = ask(thinking_config=config)
    thought, said = answer.candidates[0].content.parts
    assert thought.thought and thought.text, thought
    assert said.text == answer.text == SAID
    assert answer.usage_metadata.thoughts_token_count > 0


def it_is_told_how_likely_tokens_are():
    candidate = ask(response_logprobs=True, logprobs=2).candidates[0]
    told = candidate.logprobs_result
    assert "".join(token.token for token in told.chosen_candidates) == candidate.content.parts[0].text
    assert [len(rivals.candidates) for rivals in told.top_candidates] == [2] * len(told.chosen_candidates), told
    assert candidate.avg_logprobs == told.chosen_candidates[0].log_probability == -0.25


def an_answer_keeps_to_its_schema():
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    answer = ask(response_mime_type="application/json", response_json_schema=schema)
    assert answer.parsed == {"city": "sim"}, answer
    own = types.Schema(type="OBJECT", properties={"day": types.Schema(type="INTEGER")}, required=["day"])
    assert ask(response_mime_type="application/json", response_schema=own).parsed == {"day": 1}


def a_tool_is_called_and_its_answer_read():
    off = types.AutomaticFunctionCallingConfig(disable=True)
    chat = client.chats.create(
        model=MODEL, config=types.GenerateContentConfig(tools=[WEATHER], automatic_function_calling=off)
    )
    answer = chat.send_message("how is the weather?")
    call = answer.function_calls[0]
    assert (call.name, call.args) == ("weather", {"city": "sim"}), call
    assert answer.candidates[0].content.parts[0].thought_signature, "a call carries the signature of its thoughts"
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP
    result = types.Part.from_function_response(name="weather", response={"sky": "clear"})
    assert chat.send_message(result).text == SAID, "the SDK brings the signature back"
    unsigned = [
        types.Content(role="user", parts=[types.Part(text="hello")]),
        types.Content(role="model", parts=[types.Part.from_function_call(name="weather", args={"city": "sim"})]),
        types.Content(role="user", parts=[result]),
    ]
    error = refused(errors.ClientError, lambda: ask(contents=unsigned, tools=[WEATHER]))
    assert "thought_signature" in error.message, error
    none = types.ToolConfig(function_calling_config=types.FunctionCallingConfig(mode="NONE"))
    assert ask(tools=[WEATHER], tool_config=none).text == SAID


def images_are_taken():
    part = types.Part.from_bytes(data=b"\x89PNG", mime_type="image/png")
    assert ask(contents=["look", part]).text == SAID


def texts_become_vectors():
    config = types.EmbedContentConfig(output_dimensionality=8, task_type="RETRIEVAL_QUERY")
    both = client.models.embed_content(model="sim", contents=["hello", "world"], config=config).embeddings
    assert [len(vector.values) for vector in both] == [8, 8]
    assert both[0].values != both[1].values
    assert sum(value * value for value in both[0].values) < 0.9, "a shortened vector is not brought to length one"
    whole = client.models.embed_content(model="sim", contents="hello").embeddings[0].values
    assert abs(sum(value * value for value in whole) - 1) < 1e-3
    error = refused(errors.ClientError, lambda: client.models.embed_content(model="sim", contents=["a"] * 101))
    assert "at most 100 requests" in error.message, error


def tokens_are_counted():
    assert client.models.count_tokens(model="sim", contents="hello").total_tokens > 0


def errors_are_the_classes_that_users_catch():
    rows = [
        ("sim:400", errors.ClientError, 400, "INVALID_ARGUMENT"),
        ("sim:403", errors.ClientError, 403, "PERMISSION_DENIED"),
        ("gemini-none", errors.ClientError, 404, "NOT_FOUND"),
        ("sim:429,retry-after=2", errors.ClientError, 429, "RESOURCE_EXHAUSTED"),
        ("sim:500", errors.ServerError, 500, "INTERNAL"),
        ("sim:503", errors.ServerError, 503, "UNAVAILABLE"),
    ]
    for model, kind, code, status in rows:
        for call in (
            lambda: ask(model=model),
            lambda: list(client.models.generate_content_stream(model=model, contents="hello")),
        ):
            error = refused(kind, call)
            assert (error.code, error.status) == (code, status), (model, error)
    error = refused(errors.ClientError, lambda: ask(model="sim:429,retry-after=2"))
    details = {detail["@type"].rsplit(".", 1)[-1]: detail for detail in error.details["error"]["details"]}
    assert details["RetryInfo"]["retryDelay"] == "2s", details
    assert "PerMinute" in details["QuotaFailure"]["violations"][0]["quotaId"], details


def a_stream_that_breaks_raises():
    stream = client.models.generate_content_stream(model="sim:tokens=8,error-after=3", contents="hello")
    error = refused(errors.APIError, lambda: list(stream))
    assert (error.code, error.status) == (503, "UNAVAILABLE"), error


async def the_asynchronous_client_works_alike():
    answer = await client.aio.models.generate_content(model=MODEL, contents="hello")
    assert answer.text == SAID
    stream = await client.aio.models.generate_content_stream(model=MODEL, contents="hello")
    assert "".join([chunk.text or "" async for chunk in stream]) == SAID


a_question_is_answered()
a_question_is_streamed()
thoughts_come_first()
it_is_told_how_likely_tokens_are()
an_answer_keeps_to_its_schema()
a_tool_is_called_and_its_answer_read()
images_are_taken()
texts_become_vectors()
tokens_are_counted()
errors_are_the_classes_that_users_catch()
a_stream_that_breaks_raises()
asyncio.run(the_asynchronous_client_works_alike())
