"""The Responses API of the official OpenAI SDK for Python against a running Dynode, and feedback on its answers.

Responses are validated strictly: a field that is missing or mistyped is an error.
"""

import asyncio
import sys
import time

from checks import refused, run
import openai
from pydantic import BaseModel

URL = sys.argv[1] + "/v1"
HELLO = "Hello there, world"
SAID = "You said: Hello there, world"
WEATHER = {
    "type": "function",
    "name": "weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "strict": False,
}
OPTIONS = {"base_url": URL, "api_key": "none", "max_retries": 0, "_strict_response_validation": True}
client = openai.OpenAI(**OPTIONS)


class City(BaseModel):
    name: str
    people: int


def ask(**options):
    return client.responses.create(**{"model": "sim-fast", "input": HELLO} | options)


def until_ended(response):
    for _ in range(600):
        if response.status not in ("queued", "in_progress"):
            return response
        time.sleep(0.05)
        response = client.responses.retrieve(response.id)
    raise AssertionError(f"{response.id} does not end: {response.status}")


def a_response_is_answered_and_retrieved():
    response = ask(instructions="be brief", metadata={"k": "v"})
    assert (response.status, response.output_text, response.error) == ("completed", SAID, None), response
    assert response.metadata == {"k": "v"} and response.instructions == "be brief"
    usage = response.usage
    assert usage.input_tokens > 0 and usage.total_tokens == usage.input_tokens + usage.output_tokens
    assert usage.input_tokens_details.cached_tokens == usage.output_tokens_details.reasoning_tokens == 0
    retrieved = client.responses.retrieve(response.id)
    assert retrieved == response and retrieved._request_id == response._request_id
    outcome = client.get(f"/requests/{response._request_id}", cast_to=object)
    assert outcome["status"] == "succeeded" and outcome["output"]["text"] == SAID, outcome


def a_response_is_streamed():
    events = list(ask(stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type for event in events[:2]] == ["response.created", "response.in_progress"]
    deltas = [event for event in events if event.type == "response.output_text.delta"]
    assert "".join(event.delta for event in deltas) == SAID and len(deltas) > 2
    assert events[-1].type == "response.completed" and events[-1].response.output_text == SAID
    assert events[-1].response.usage.output_tokens > 0
    again = client.responses.retrieve(events[0].response.id, stream=True, starting_after=4)
    assert [event.sequence_number for event in again] == list(range(5, len(events)))


def the_stream_helper_puts_the_answer_together():
    with client.responses.stream(model="sim-fast", input=HELLO) as stream:
        deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
        response = stream.get_final_response()
    assert "".join(deltas) == response.output_text == SAID
    with client.responses.stream(response_id=response.id, starting_after=4) as stream:
        assert stream.get_final_response().output_text == SAID


def an_answer_is_parsed():
    parsed = client.responses.parse(model="sim-fast", input="a city", text_format=City).output_parsed
    assert isinstance(parsed, City), parsed
    with client.responses.stream(model="sim-fast", input="a city", text_format=City) as stream:
        assert isinstance(stream.get_final_response().output_parsed, City)


def a_tool_is_called_and_its_answer_read():
    question = [{"role": "user", "content": "please call weather"}]
    response = ask(input=question, tools=[WEATHER])
    [call] = [item for item in response.output if item.type == "function_call"]
    assert (call.name, call.arguments) == ("weather", '{"city":"city"}'), call
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    whole = ask(input=[*question, call, result], tools=[WEATHER])
    assert whole.output_text == "The tool said: sunny"
    chained = ask(input=[result], tools=[WEATHER], previous_response_id=response.id)
    assert chained.output_text == whole.output_text and chained.previous_response_id == response.id
    with client.responses.stream(model="sim-fast", input=question, tools=[WEATHER]) as stream:
        pieces = [event.delta for event in stream if event.type == "response.function_call_arguments.delta"]
        [streamed] = stream.get_final_response().output
    assert "".join(pieces) == streamed.arguments == call.arguments and len(pieces) > 1


def what_was_asked_is_listed_and_counted():
    content = [
        {"type": "input_text", "text": "please call weather"},
        {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"},
    ]
    first = ask(input=[{"role": "user", "content": content}], tools=[WEATHER])
    result = {"type": "function_call_output", "call_id": first.output[0].call_id, "output": "sunny"}
    second = ask(input=[result], previous_response_id=first.id, tools=[WEATHER])
    items = list(client.responses.input_items.list(second.id, order="asc", limit=1))
    kinds = ["message", "function_call", "function_call_output"]
    assert [item.type for item in items] == kinds and len({item.id for item in items}) == 3, items
    assert [part.type for part in items[0].content] == ["input_text", "input_image"], items[0]
    assert [item.type for item in client.responses.input_items.list(second.id)] == kinds[::-1]
    count = lambda **options: client.responses.input_tokens.count(**{"model": "sim-fast", "input": HELLO} | options)
    short, long = count(), count(instructions="be brief", tools=[WEATHER])
    assert 0 < short.input_tokens < long.input_tokens, (short, long)


def what_is_not_here_says_what_to_do_instead():
    for kind, call, instead in [
        (openai.APIStatusError, lambda: client.responses.compact(model="sim-fast", input="x"), "compacted"),
        (openai.NotFoundError, lambda: client.conversations.create(), "previous_response_id"),
        (openai.NotFoundError, lambda: client.files.list(), "no files"),
        (openai.NotFoundError, lambda: client.batches.list(), "/v1/requests"),
    ]:
        error = refused(kind, call)
        assert instead in error.message and error.request_id, error


def an_answer_that_is_cut_off_says_so():
    response = ask(max_output_tokens=2)
    assert response.status == "incomplete" and response.incomplete_details.reason == "max_output_tokens", response
    events = list(ask(max_output_tokens=2, stream=True))
    assert events[-1].type == "response.incomplete"


def a_response_runs_in_the_background():
    response = ask(background=True)
    assert response.status in ("queued", "in_progress") and response.output == []
    assert until_ended(response).output_text == SAID
    stream = ask(background=True, stream=True)
    first = next(iter(stream))
    stream.close()
    rest = list(client.responses.retrieve(first.response.id, stream=True, starting_after=first.sequence_number))
    assert rest[0].sequence_number == first.sequence_number + 1
    assert rest[-1].response.output_text == SAID


def a_response_is_cancelled():
    slow = {"simulate": {"tokens": 400, "tokens_per_second": 2}}
    response = ask(background=True, extra_body=slow)
    cancelled = client.responses.cancel(response.id)
    assert until_ended(cancelled).status == "cancelled", cancelled
    assert client.responses.cancel(response.id).status == "cancelled"


def a_response_is_deleted():
    response = ask()
    client.responses.delete(response.id)
    for gone in (client.responses.retrieve, client.responses.delete, client.responses.cancel):
        refused(openai.NotFoundError, lambda gone=gone: gone(response.id))
    error = refused(openai.NotFoundError, lambda: ask(previous_response_id=response.id))
    assert error.param == "previous_response_id", error
    refused(openai.NotFoundError, lambda: client.responses.retrieve(ask(store=False).id))


def errors_are_the_classes_that_users_catch():
    error = refused(openai.NotFoundError, lambda: ask(model="gpt-none"))
    assert (error.code, error.param) == ("model_not_found", "model") and error.request_id, error
    error = refused(openai.BadRequestError, lambda: ask(tools=[{"type": "web_search"}]))
    assert (error.param, error.type) == ("tools[0].type", "invalid_request_error"), error
    error = refused(openai.BadRequestError, lambda: ask(temperature=3))
    assert error.param == "temperature", error
    failing = {"simulate": {"fail": "provider_error"}}
    for stream in (False, True):
        error = refused(openai.InternalServerError, lambda: ask(extra_body=failing, stream=stream))
        assert (error.status_code, error.code) == (502, "provider_error"), error
    failed = until_ended(ask(extra_body=failing, background=True))
    assert (failed.status, failed.error.code) == ("failed", "server_error"), failed
    late = {"simulate": {"fail": "invalid_request", "after_tokens": 2}}
    events = list(ask(extra_body=late, stream=True))
    assert events[-1].type == "response.failed" and events[-1].response.error.code == "invalid_prompt", events[-1]


def what_may_succeed_is_tried_again_by_the_sdk_itself():
    patient = client.with_options(max_retries=2)
    once = {"simulate": {"fail": "provider_unavailable", "retry_after_ms": 10}}
    before = time.monotonic()
    error = refused(
        openai.InternalServerError, lambda: patient.responses.create(model="sim-fast", input=HELLO, extra_body=once)
    )
    assert error.status_code == 503 and error.response.request.headers["x-stainless-retry-count"] == "2", error
    assert time.monotonic() - before < 30
    hasty = client.with_options(timeout=0.2)
    slow = {"simulate": {"first_token_ms": 5000}}
    refused(openai.APITimeoutError, lambda: hasty.responses.create(model="sim-fast", input=HELLO, extra_body=slow))


def the_same_key_is_the_same_response():
    headers = {"Idempotency-Key": "py-response"}
    first, again = ask(extra_headers=headers), ask(extra_headers=headers)
    assert (first.id, first.output) == (again.id, again.output)
    error = refused(openai.ConflictError, lambda: ask(input="something else", extra_headers=headers))
    assert error.code == "conflict", error


def an_answer_is_rated():
    response = ask()

    def rate(**body):
        return client.post("/feedback", cast_to=object, body={"id": response.id} | body)

    assert rate(rating="up", comment="good")["rating"] == 1
    assert rate(rating=-0.5)["model"] == "sim-fast"
    kept = client.get(f"/feedback/{response._request_id}", cast_to=object)
    assert kept["rating"] == -0.5 and "comment" not in kept, kept
    error = refused(openai.BadRequestError, lambda: rate(rating="fine"))
    assert error.param == "rating", error
    unknown = {"id": "none", "rating": "up"}
    refused(openai.NotFoundError, lambda: client.post("/feedback", cast_to=object, body=unknown))


async def the_asynchronous_client_works_alike():
    async with openai.AsyncOpenAI(**OPTIONS) as client:
        async with client.responses.stream(model="sim-fast", input=HELLO) as stream:
            assert (await stream.get_final_response()).output_text == SAID
        many = (client.responses.create(model="sim-fast", input=f"number {number}") for number in range(20))
        answers = [response.output_text for response in await asyncio.gather(*many)]
        assert answers == [f"You said: number {number}" for number in range(20)], answers


run(
    a_response_is_answered_and_retrieved,
    a_response_is_streamed,
    the_stream_helper_puts_the_answer_together,
    an_answer_is_parsed,
    a_tool_is_called_and_its_answer_read,
    what_was_asked_is_listed_and_counted,
    what_is_not_here_says_what_to_do_instead,
    an_answer_that_is_cut_off_says_so,
    a_response_runs_in_the_background,
    a_response_is_cancelled,
    a_response_is_deleted,
    errors_are_the_classes_that_users_catch,
    what_may_succeed_is_tried_again_by_the_sdk_itself,
    the_same_key_is_the_same_response,
    an_answer_is_rated,
    the_asynchronous_client_works_alike,
)
