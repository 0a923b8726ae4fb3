"""The official ElevenLabs SDK against the simulated vendor: what it accepts, the real one could have sent."""

import sys

from checks import run
from elevenlabs import VoiceSettings
from elevenlabs.client import ElevenLabs
from elevenlabs.core.api_error import ApiError
from elevenlabs.errors import UnprocessableEntityError

URL = sys.argv[1] + "/elevenlabs"
VOICE = "JBFqnCBsd6RMkjVDRZzb"
client = ElevenLabs(base_url=URL, api_key="k-canary-0123")


def speak(sim="", media="", client=client, **options):
    headers = {"x-sim": sim, "x-sim-media": media}
    options = {"voice_id": VOICE, "text": "Hello there, world.", "model_id": "eleven_flash_v2_5"} | options
    return client.text_to_speech.stream(
        **options, request_options={"additional_headers": headers, "max_retries": 0}
    )


def refused(status, call):
    try:
        list(call())
    except ApiError as error:
        assert error.status_code == status, error
        return error.body
    raise AssertionError(f"not refused with {status}")


def speech_is_streamed_and_whole():
    pieces = list(speak(sim="gap=5ms", voice_settings=VoiceSettings(speed=1.1)))
    assert len(pieces) > 1 and pieces[0][:2] == b"\xff\xfb", pieces
    whole = client.text_to_speech.convert(voice_id=VOICE, text="Hello there, world.", model_id="eleven_flash_v2_5")
    assert b"".join(whole) == b"".join(pieces)


def what_it_cost_is_in_the_headers():
    with client.text_to_speech.with_raw_response.stream(voice_id=VOICE, text="Hello") as response:
        assert response.headers["character-cost"] == "5", response.headers
        assert response.headers["request-id"]
        assert b"".join(response.data)


def voices_and_models_are_listed():
    page = client.voices.search()
    assert [voice.name for voice in page.voices] == ["George", "Rachel"] and page.has_more is False, page
    assert "eleven_v3" in [model.model_id for model in client.models.list()]


def errors_have_the_forms_that_the_sdk_knows():
    other = ElevenLabs(base_url=URL, api_key="k-wrong")
    body = refused(401, lambda: speak(client=other))
    assert body["detail"]["status"] == "invalid_api_key", body
    assert refused(401, lambda: speak(media="withheld"))["detail"]["status"] == "quota_exceeded"
    assert refused(404, lambda: speak(voice_id="nobody"))["detail"]["status"] == "voice_not_found"
    assert refused(429, lambda: speak(sim="status=429"))["detail"]["status"] == "too_many_concurrent_requests"
    try:
        list(speak(text=""))
    except UnprocessableEntityError as error:
        assert error.status_code == 422
    else:
        raise AssertionError("an empty text is spoken")


run(
    speech_is_streamed_and_whole,
    what_it_cost_is_in_the_headers,
    voices_and_models_are_listed,
    errors_have_the_forms_that_the_sdk_knows,
)
