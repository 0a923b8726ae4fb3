"""API keys as the official SDK for Python meets them: each refusal is the class of error that it is at OpenAI."""

import sys

from checks import refused, run
import openai

URL, GOOD, NARROW, SLOW, TEST = sys.argv[1] + "/v1", *sys.argv[2:6]
HELLO = [{"role": "user", "content": "Hello"}]


def client(key, retries=0):
    return openai.OpenAI(base_url=URL, api_key=key, max_retries=retries)


def ask(key, model="sim-fast", retries=0):
    return client(key, retries).chat.completions.create(model=model, messages=HELLO)


def a_key_is_needed():
    assert ask(GOOD).choices[0].message.content == "You said: Hello"
    for wrong in ["sk-1234", "dyn_live_abc", GOOD[:-1] + ("a" if GOOD[-1] != "a" else "b")]:
        error = refused(openai.AuthenticationError, lambda: ask(wrong))
        assert error.status_code == 401 and error.code == "unauthorized", error
        assert error.type == "authentication_error", error.type
        assert wrong not in str(error), error
    error = refused(openai.AuthenticationError, lambda: list(client("none").models.list()))
    assert error.request_id, "every answer has an id to ask about"


def a_key_is_for_its_models():
    assert ask(NARROW).model == "sim-fast"
    error = refused(openai.PermissionDeniedError, lambda: ask(NARROW, "sim-chat"))
    assert error.status_code == 403 and error.param == "model", error
    assert [model.id for model in client(NARROW).models.list()] == ["sim-fast"]


def a_limit_says_when_to_return():
    ask(SLOW)
    error = refused(openai.RateLimitError, lambda: ask(SLOW))
    assert error.code == "rate_limited", error
    assert "requests per minute" in str(error), error
    wait = int(error.response.headers["retry-after"])
    # Who is refused together is spread over half as long again.
    assert 1 <= wait <= 93, wait


def a_test_key_reaches_simulated_providers_only():
    assert ask(TEST).choices[0].message.content == "You said: Hello"
    error = refused(openai.PermissionDeniedError, lambda: ask(TEST, "paid"))
    assert "simulated providers only" in str(error), error


run(a_key_is_needed, a_key_is_for_its_models, a_limit_says_when_to_return, a_test_key_reaches_simulated_providers_only)
