"""A service that speaks to Dynode only by subjects, with the official NATS client for Python."""

import asyncio
import json
import sys

import msgpack
import nats

SERVER = sys.argv[1]
TERMINAL = {"complete", "chat.complete", "fail", "cancelled"}
CHAT = "dynode.req.acme.chat.completion"


def chat(text, **fields):
    messages = [{"role": "user", "content": text}]
    return {"payload": {"model": "sim-fast", "messages": messages, "stream": True}} | fields


class Service:
    """One connection, its subscriptions, and what they brought."""

    async def __aenter__(self):
        self.connection = await nats.connect(SERVER)
        self.stream = self.connection.jetstream()
        self.events = await self.connection.subscribe("dynode.evt.acme.*")
        self.dead = await self.connection.subscribe("dynode.dead.>")
        await self.connection.flush()
        return self

    async def __aexit__(self, *_):
        await self.connection.close()

    async def publish(self, subject, body, **headers):
        ack = await self.stream.publish(subject, body, headers=headers or None)
        assert ack.stream == "DYNODE_REQ", ack

    async def events_of(self, id, read):
        events = []
        while not events or events[-1]["event"] not in TERMINAL:
            message = await self.events.next_msg(timeout=30)
            if message.subject == f"dynode.evt.acme.{id}":
                events.append(read(message.data))
                last = message
        return events, last

    async def parked(self):
        message = await self.dead.next_msg(timeout=30)
        return message.subject, msgpack.unpackb(message.data)

    async def settle(self):
        """Waits until every request and all work is done: both streams are work queues."""
        for name in ("DYNODE_REQ", "DYNODE_WORK"):
            while (await self.stream.stream_info(name)).state.messages:
                await asyncio.sleep(0.02)


def read(message):
    packed = message.headers["Content-Type"] == "application/msgpack"
    return msgpack.unpackb(message.data) if packed else json.loads(message.data)


async def outcome_of(id):
    """What a reader finds who comes after the end."""
    async with Service() as late:
        return await late.stream.get_last_msg("DYNODE_RES", f"dynode.res.acme.{id}")


def check_answer(events, text):
    names = [event["event"] for event in events]
    assert names[:2] == ["queued", "running"] and names[-1] == "chat.complete", names
    places = [(event["attempt"], event["seq"]) for event in events]
    assert places == sorted(set(places)), places
    assert "".join(event.get("delta", "") for event in events) == f"You said: {text}", events
    assert events[-1]["output"]["text"] == f"You said: {text}", events[-1]


async def a_request_is_answered_in_the_format_it_came_in():
    formats = [
        ("json", json.dumps, json.loads, {"Content-Type": "application/json"}, "application/json"),
        ("pack", msgpack.packb, msgpack.unpackb, {"Content-Type": "application/msgpack"}, "application/msgpack"),
        ("bare", json.dumps, json.loads, {}, "application/json"),
        ("bare-pack", msgpack.packb, msgpack.unpackb, {}, "application/msgpack"),
    ]
    async with Service() as service:
        for id, write, read, headers, content_type in formats:
            body = write(chat(f"hello {id}", id=id))
            await service.publish(CHAT, body.encode() if isinstance(body, str) else body, **headers)
            events, last = await service.events_of(id, read)
            check_answer(events, f"hello {id}")
            assert last.headers["Content-Type"] == content_type, last.headers
            stored = await outcome_of(id)
            assert stored.headers["Content-Type"] == content_type, stored.headers
            outcome = read(stored.data)
            assert (outcome["status"], outcome["tenant"], outcome["id"]) == ("succeeded", "acme", id), outcome
            assert outcome["output"]["text"] == f"You said: hello {id}", outcome


async def the_publisher_need_not_name_the_request():
    async with Service() as service:
        await service.publish(CHAT, json.dumps(chat("named by its message")).encode(), **{"Nats-Msg-Id": "by-message"})
        events, _ = await service.events_of("by-message", json.loads)
        check_answer(events, "named by its message")
        await service.publish("dynode.req.acme.auto", json.dumps(chat("what is it", id="auto")).encode())
        check_answer((await service.events_of("auto", json.loads))[0], "what is it")


async def the_same_request_again_does_not_run_twice():
    async with Service() as service:
        body = json.dumps(chat("once", id="once")).encode()
        await service.publish(CHAT, body)
        check_answer((await service.events_of("once", json.loads))[0], "once")
        first = await outcome_of("once")
        await service.publish(CHAT, body)
        await service.settle()
        again = await outcome_of("once")
        assert (again.seq, again.data) == (first.seq, first.data)
        runs = [event for event in await replay(service, "once") if event["event"] == "running"]
        assert len(runs) == 1, runs


async def replay(service, id):
    """Every stored event of a request."""
    subject = f"dynode.evt.acme.{id}"
    reader = await service.stream.subscribe(subject, stream="DYNODE_EVT", ordered_consumer=True)
    last = (await service.stream.get_last_msg("DYNODE_EVT", subject)).seq
    events, sequence = [], 0
    while sequence < last:
        message = await reader.next_msg(timeout=30)
        sequence = message.metadata.sequence.stream
        events.append(json.loads(message.data))
    return events


async def another_request_under_an_id_in_use_is_parked():
    async with Service() as service:
        await service.publish(CHAT, json.dumps(chat("mine", id="taken")).encode())
        check_answer((await service.events_of("taken", json.loads))[0], "mine")
        body = json.dumps(chat("yours", id="taken")).encode()
        await service.publish(CHAT, body)
        subject, letter = await service.parked()
        assert subject == "dynode.dead.classifier.acme.taken", subject
        assert letter["reason"]["code"] == "conflict", letter
        assert (letter["subject"], bytes(letter["body"])) == (CHAT, body), letter
        outcome = json.loads((await outcome_of("taken")).data)
        assert outcome["output"]["text"] == "You said: mine", outcome


BAD = [
    # The subject, the body, the code and the field; each body is JSON text or bytes as they are.
    (CHAT, b"{", "invalid_request", None),
    (CHAT, b"\xc1\xc1", "invalid_request", None),
    (CHAT, b"", "invalid_request", None),
    (CHAT, [1], "invalid_request", None),
    (CHAT, {"id": "bad-1"}, "invalid_request", "payload"),
    (CHAT, chat("x", id="bad 2"), "invalid_request", "id"),
    (CHAT, {"id": "bad-3", "payload": "hello"}, "invalid_request", "payload"),
    (CHAT, {"id": "bad-4", "payload": {"model": "sim-fast", "messages": "hello"}}, "invalid_request", "payload.messages"),
    (CHAT, {"id": "bad-5", "payload": {"model": "none", "messages": [{"role": "user", "content": "x"}]}}, "not_found", None),
    (CHAT, chat("x", id="bad-6", tenant="other"), "forbidden", None),
    (CHAT, chat("x", id="bad-7", action="embedding.query"), "invalid_request", "action"),
    (CHAT, chat("x", id="bad-8", deadline_ms=-1), "invalid_request", "deadline_ms"),
    (CHAT, chat("x", id="bad-9", v=2), "invalid_request", "v"),
    (CHAT, chat("x", id="bad-10", callback={"url": "ftp://x"}), "invalid_request", None),
    ("dynode.req.acme.embedding.query", {"id": "bad-11", "payload": {"model": "sim-embed"}}, "invalid_request", "payload.input"),
    ("dynode.req.acme.dance", chat("x", id="bad-12"), "invalid_request", None),
]


async def what_cannot_be_read_is_parked_and_its_failure_recorded():
    async with Service() as service:
        for index, (subject, body, code, param) in enumerate(BAD):
            case = f"case {index}: {subject} {body}"
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
            # The id of the message stands in where the body names none that can be used.
            await service.publish(subject, raw, **{"Nats-Msg-Id": f"message-{index}"})
            parked_on, letter = await service.parked()
            reason = letter["reason"]
            assert reason["code"] == code and reason["message"], (case, reason)
            assert param is None or reason.get("param") == param, (case, reason)
            assert (letter["subject"], bytes(letter["body"])) == (subject, raw), case
            id = parked_on.removeprefix("dynode.dead.classifier.acme.")
            assert id in (f"bad-{id.removeprefix('bad-')}", f"message-{index}"), (case, parked_on)
            await service.settle()
            outcome = read(await outcome_of(id))
            assert (outcome["status"], outcome["error"]["code"]) == ("failed", code), (case, outcome)
        # A subject with no usable tenant has nobody to tell; the message is kept all the same.
        await service.publish("dynode.req.ac!me.chat.completion", json.dumps(chat("x")).encode())
        subject, letter = await service.parked()
        assert subject.startswith("dynode.dead.classifier.unknown."), subject
        await service.publish(CHAT, json.dumps(chat("still here", id="after")).encode())
        check_answer((await service.events_of("after", json.loads))[0], "still here")


async def main():
    await a_request_is_answered_in_the_format_it_came_in()
    await the_publisher_need_not_name_the_request()
    await the_same_request_again_does_not_run_twice()
    await another_request_under_an_id_in_use_is_parked()
    await what_cannot_be_read_is_parked_and_its_failure_recorded()


asyncio.run(main())
