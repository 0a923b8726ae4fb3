"""The official Replicate SDK against the simulated vendor: what it accepts, the real one could have sent."""

import sys

import httpx
from replicate.client import Client
from replicate.exceptions import ModelError, ReplicateError

FLUX = "black-forest-labs/flux-schnell"
LLAMA = "meta/meta-llama-3-8b-instruct"


def client(sim="", media="", token="k-canary-0123"):
    headers = {"x-sim": sim, "x-sim-media": media}
    return Client(api_token=token, base_url=sys.argv[1] + "/replicate", headers=headers)


def refused(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def images_are_made_and_fetched():
    # The SDK makes files of URLs with TLS only; these have none, and stay URLs.
    urls = client(media="polls=1").run(FLUX, input={"prompt": "a cat", "num_outputs": 2})
    assert len(urls) == 2 and all(httpx.get(url).content.startswith(b"\x89PNG") for url in urls), urls
    [url] = client(media="polls=0").run(FLUX, input={"prompt": "a cat"}, use_file_output=False)
    assert url.endswith(".png"), url


def a_model_of_text_answers_in_tokens():
    output = client(media="polls=1").run(LLAMA, input={"prompt": "hi"})
    assert "".join(output) == "You said: hi", output


def a_model_of_text_shows_its_tokens_as_they_are_made():
    events = list(client().stream(LLAMA, input={"prompt": "hi\nyou"}))
    assert [event.event.value for event in events] == ["output", "output", "output", "done"], events
    assert "".join(str(event) for event in events) == "You said: hi\nyou", events
    refused(RuntimeError, lambda: list(client(media="failed").stream(LLAMA, input={"prompt": "hi"})))
    error = refused(ReplicateError, lambda: list(client().stream(FLUX, input={"prompt": "hi"})))
    assert "does not support streaming" in str(error), error


def a_prediction_is_followed_and_cancelled():
    it = client(media="polls=3")
    prediction = it.models.predictions.create(model=("meta", "meta-llama-3-8b-instruct"), input={"prompt": "hi"})
    assert prediction.status == "starting", prediction
    states = []
    while prediction.status not in ("succeeded", "failed", "canceled"):
        prediction.reload()
        states.append(prediction.status)
    assert states == ["processing", "processing", "succeeded"], states
    assert prediction.metrics["predict_time"] == 1.25 and prediction.output, prediction
    other = it.predictions.create(version="v1", input={"prompt": "hi"})
    other.cancel()
    other.reload()
    assert other.status == "canceled", other


def errors_are_those_that_users_catch():
    wait = {"input": {"prompt": "x"}, "wait": False}
    error = refused(ModelError, lambda: client(media="failed,polls=1").run(FLUX, **wait))
    assert "CUDA" in error.prediction.error, error
    error = refused(ReplicateError, lambda: client(token="wrong").run(FLUX, **wait))
    assert error.status == 401 and "valid authentication token" in error.detail, error
    error = refused(ReplicateError, lambda: client().run(FLUX, input={}))
    assert error.status == 422, error
    error = refused(ReplicateError, lambda: client(sim="status=429,retry-after=1").run(FLUX, **wait))
    assert error.status == 429 and "throttled" in error.detail, error


images_are_made_and_fetched()
a_model_of_text_answers_in_tokens()
a_model_of_text_shows_its_tokens_as_they_are_made()
a_prediction_is_followed_and_cancelled()
errors_are_those_that_users_catch()
