"""The official OpenAI SDK for Python against the simulated provider: images and speech; only the base URL is ours."""

import base64
import io
import struct
import sys
import urllib.request
import zlib

from checks import refused, run
import openai

URL = sys.argv[1]
OPTIONS = {"base_url": URL + "/v1", "api_key": "none", "max_retries": 0, "_strict_response_validation": True}
client = openai.OpenAI(**OPTIONS)


def side_of(png):
    """How wide and high a PNG is whose checksums and rows are right."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    at, rows, size = 8, b"", None
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        kind, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        assert zlib.crc32(kind + data) == struct.unpack(">I", png[at + 8 + length : at + 12 + length])[0], kind
        if kind == b"IHDR":
            size = struct.unpack(">II", data[:8])
        if kind == b"IDAT":
            rows += data
        at += 12 + length
    width, height = size
    assert len(zlib.decompress(rows)) == height * (1 + 3 * width)
    return width, height


def images_come_inside_the_reply():
    images = client.images.generate(model="sim", prompt="a cat", n=2, size="1024x1024", quality="low")
    first, second = (base64.b64decode(image.b64_json) for image in images.data)
    assert side_of(first) == side_of(second) == (8, 8)
    assert first != second
    assert (images.output_format, images.size) == ("png", "1024x1024"), images
    assert images.usage.output_tokens > 0 and images.usage.input_tokens_details.text_tokens > 0
    assert images.created > 0


def images_come_at_urls():
    images = client.images.generate(model="sim", prompt="a cat", response_format="url")
    image = images.data[0]
    assert image.b64_json is None and image.revised_prompt == "a cat", image
    with urllib.request.urlopen(image.url) as reply:
        assert reply.headers["content-type"] == "image/png"
        assert side_of(reply.read()) == (8, 8)


def speech_is_a_file():
    speech = client.audio.speech.create(model="sim:tokens=4", input="hello", voice="alloy")
    assert speech.response.headers["content-type"] == "audio/mpeg"
    assert speech.content.startswith(b"\xff\xfb") and len(speech.content) == 4 * 417
    wav = client.audio.speech.create(model="sim:tokens=4", input="hello", voice="alloy", response_format="wav")
    sound = wav.read()
    assert sound[:4] == b"RIFF" and sound[8:12] == b"WAVE"
    channels, rate = struct.unpack("<HI", sound[22:28])
    assert (channels, rate, len(sound)) == (1, 24_000, 44 + 4 * 960)


def speech_is_streamed():
    options = {"model": "sim:tokens=4,gap=20ms", "input": "hello", "voice": "alloy", "response_format": "pcm"}
    sound = io.BytesIO()
    with client.audio.speech.with_streaming_response.create(**options) as response:
        chunks = list(response.iter_bytes())
        for chunk in chunks:
            sound.write(chunk)
    assert len(chunks) > 1, "it came in one piece"
    assert len(sound.getvalue()) == 4 * 960


def errors_are_the_classes_that_users_catch():
    error = refused(openai.BadRequestError, lambda: client.images.generate(model="sim", prompt=""))
    assert error.param == "prompt", error
    options = {"model": "sim", "input": "x" * 4097, "voice": "alloy"}
    error = refused(openai.BadRequestError, lambda: client.audio.speech.create(**options))
    assert error.param == "input", error
    refused(openai.NotFoundError, lambda: client.images.generate(model="dall-none", prompt="a cat"))
    refused(openai.RateLimitError, lambda: client.images.generate(model="sim:429", prompt="a cat"))
    options = {"model": "sim:503", "input": "x", "voice": "alloy"}
    refused(openai.InternalServerError, lambda: client.audio.speech.create(**options))


run(
    images_come_inside_the_reply,
    images_come_at_urls,
    speech_is_a_file,
    speech_is_streamed,
    errors_are_the_classes_that_users_catch,
)
