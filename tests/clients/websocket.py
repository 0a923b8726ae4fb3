"""The WebSocket of a running Dynode, by a client that is not ours. Its frames may have 65,536 bytes.

Arguments: the address, and the file of the JSON Schemas. Whatever the server says must be as they say."""

import asyncio
import json
import struct
import sys

import msgpack
from jsonschema import Draft202012Validator
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

URL = sys.argv[1]
SCHEMAS = json.load(open(sys.argv[2]))
SAYS, HEARS = (Draft202012Validator(SCHEMAS[name]) for name in ("socket-event", "socket-request"))
FRAME_BYTES_MAX = 65_536
TERMINAL = {"complete", "chat.complete", "fail", "cancelled"}


def chat(id, text, **simulate):
    messages = [{"role": "user", "content": text}]
    payload = {"model": "sim-fast", "messages": messages, "stream": True, "simulate": simulate}
    return {"id": id, "action": "chat.completion", "payload": payload}


async def hear(socket):
    """The next event of any request, and the kind of its frame; how busy the pools are is for other clients."""
    while True:
        message = await socket.recv()
        event = msgpack.unpackb(message) if isinstance(message, bytes) else json.loads(message)
        if isinstance(message, str):
            SAYS.validate(event)
        if event.get("event") != "backpressure":
            return event, type(message)


async def events_of(socket, id, kind=str):
    """The events of one request to its end, on a socket that has no other."""
    events = []
    while not events or events[-1]["event"] not in TERMINAL:
        event, heard = await hear(socket)
        assert event["id"] == id and heard is kind, (heard, event)
        events.append(event)
    return events


def check_answer(events, text):
    """The events of one request that succeeded, from its first to its last."""
    names = [event["event"] for event in events]
    assert names[:2] == ["queued", "running"] and names[-1] == "chat.complete", names
    assert set(names[2:-1]) == {"chat.delta"}, names
    places = [(event["attempt"], event["seq"]) for event in events]
    assert places == sorted(set(places)), places
    deltas = "".join(event.get("delta", "") for event in events[2:-1])
    assert events[-1]["output"]["text"] == deltas, events[-1]
    assert text is None or deltas == f"You said: {text}", deltas
    assert events[-1]["usage"]["output_tokens"] > 0, events[-1]


async def requests_interleave_on_one_socket_each_in_order():
    async with connect(URL) as socket:
        ids = [f"i{number}" for number in range(20)]
        for id in ids:
            await socket.send(json.dumps(chat(id, "x", tokens=10, first_token_ms=20, tokens_per_second=50)))
        seen, order = {id: [] for id in ids}, []
        while sum(events[-1]["event"] in TERMINAL for events in seen.values() if events) < len(ids):
            event, _ = await hear(socket)
            seen[event["id"]].append(event)
            order.append(event["id"])
        for events in seen.values():
            check_answer(events, None)
        first, last = order.index("i0"), len(order) - 1 - order[::-1].index("i0")
        assert len(set(order[first:last])) > 1, "they ran one after another"


async def frames_are_json_text_or_messagepack():
    async with connect(URL) as socket:
        await socket.send(json.dumps(chat("json", "as text")))
        check_answer(await events_of(socket, "json"), "as text")
        await socket.send(msgpack.packb(chat("pack", "as binary")))
        check_answer(await events_of(socket, "pack", bytes), "as binary")
        embedding = {"id": "e", "action": "embedding.query", "payload": {"model": "sim-embed", "input": "a"}}
        await socket.send(msgpack.packb(embedding))
        events = await events_of(socket, "e", bytes)
        assert events[-1]["event"] == "complete", events
        [vector] = events[-1]["output"]["embeddings"]
        assert abs(sum(number**2 for number in struct.unpack("<256f", vector)) - 1) < 1e-3, "no unit vector"


BAD = [
    # The frame, the id in its refusal, the code, the field.
    ("{", None, "invalid_request", None),
    ("[]", None, "invalid_request", None),
    (b"\xc1", None, "invalid_request", None),
    ({"id": "b1", "action": "dance", "payload": {}}, "b1", "invalid_request", "action"),
    ({"id": "b2", "payload": {}}, "b2", "invalid_request", "action"),
    ({"id": "b3", "action": "chat.completion"}, "b3", "invalid_request", "payload"),
    ({"id": "b4", "action": "chat.completion", "payload": []}, "b4", "invalid_request", "payload"),
    ({"id": "b5", "action": "chat.completion", "payload": {"model": "sim-fast"}}, "b5", "invalid_request", "payload.messages"),
    ({"id": "b 6", "action": "auto", "payload": {}}, "b 6", "invalid_request", "id"),
    ({"id": 7, "action": "auto", "payload": {}}, None, "invalid_request", "id"),
    (chat("b8", "x") | {"deadline_ms": "soon"}, "b8", "invalid_request", "deadline_ms"),
    (chat("b9", "x") | {"payload": {"model": "none", "messages": [{"role": "user", "content": "x"}]}}, "b9", "not_found", None),
    ({"action": "resume", "id": "never", "attempt": 1, "after": 0}, "never", "not_found", None),
    ({"action": "cancel", "id": "never"}, "never", "not_found", None),
    ({"action": "status", "id": "never"}, "never", "not_found", None),
    ({"action": "join"}, None, "invalid_request", "session"),
    ({"action": "join", "session": "a b"}, None, "invalid_request", "session"),
    ({"action": "credit", "id": "b10", "bytes": -1}, "b10", "invalid_request", "bytes"),
    ({"action": "resume", "id": "b11", "attempt": 1}, "b11", "invalid_request", "after"),
    (chat("b12", "x") | {"credit": "much"}, "b12", "invalid_request", "credit"),
    ({"action": "estimate", "id": "b13", "request": {"action": "auto"}}, "b13", "invalid_request", "request.payload"),
]


async def a_bad_frame_is_refused_and_its_neighbour_unharmed():
    async with connect(URL) as socket:
        await socket.send(json.dumps(chat("good", "x", tokens=30, tokens_per_second=30)))
        good = []

        async def refusal(id):
            while True:
                event, _ = await hear(socket)
                if event.get("id") == "good":
                    good.append(event)
                elif event["event"] not in ("queued", "running"):
                    return event

        for frame, id, code, param in BAD:
            await socket.send(json.dumps(frame) if isinstance(frame, (dict, list)) else frame)
            event = await refusal(id)
            assert event["event"] == "fail" and event.get("id") == id, (frame, event)
            assert event["error"]["code"] == code and event["error"]["message"], (frame, event)
            assert param is None or event["error"].get("param") == param, (frame, event)
        while not good or good[-1]["event"] not in TERMINAL:
            good.append((await hear(socket))[0])
        check_answer(good, None)


async def an_id_in_use_is_a_conflict():
    async with connect(URL) as one, connect(URL) as other:
        await one.send(json.dumps(chat("taken", "mine")))
        check_answer(await events_of(one, "taken"), "mine")
        for socket in (one, other):
            await socket.send(json.dumps(chat("taken", "yours")))
            [event] = await events_of(socket, "taken")
            assert event["error"]["code"] == "conflict", event
        await other.send(json.dumps(chat("taken", "mine")))
        check_answer(await events_of(other, "taken"), "mine")


async def an_id_is_free_again_with_the_last_frame():
    async with connect(URL) as socket:
        for number in range(30):
            id = f"again{number}"
            await socket.send(json.dumps({"action": "resume", "id": id, "attempt": 1, "after": 0}))
            [event] = await events_of(socket, id)
            assert event["error"]["code"] == "not_found", event
            for _ in range(2):
                await socket.send(json.dumps(chat(id, "x")))
                check_answer(await events_of(socket, id), "x")


async def a_stream_goes_on_where_it_broke_off():
    async with connect(URL) as socket:
        await socket.send(json.dumps(chat("torn", "x", tokens=30, tokens_per_second=60)))
        events = [(await hear(socket))[0] for _ in range(6)]
    last = events[-1]
    async with connect(URL) as socket:
        resume = {"action": "resume", "id": "torn", "attempt": last["attempt"], "after": last["seq"]}
        await socket.send(json.dumps(resume))
        check_answer(events + await events_of(socket, "torn"), None)


async def a_request_can_be_cancelled():
    async with connect(URL) as socket:
        await socket.send(json.dumps(chat("unwanted", "x", tokens=2_000, tokens_per_second=20)))
        while (await hear(socket))[0]["event"] != "chat.delta":
            pass
        await socket.send(json.dumps({"action": "cancel", "id": "unwanted"}))
        events = await events_of(socket, "unwanted")
        assert events[-1]["event"] == "cancelled", events[-1]


async def health_is_told():
    async with connect(URL) as socket:
        await socket.send(json.dumps({"action": "system.health", "id": "h"}))
        [event] = await events_of(socket, "h")
        assert event["output"]["status"] == "ready", event


async def tell(socket, **frame):
    HEARS.validate(frame)
    await socket.send(json.dumps(frame))


async def a_session_is_seen_by_all_who_join_it():
    async with connect(URL) as one, connect(URL) as other, connect(URL) as sender:
        for member, pack in ((one, json.dumps), (other, msgpack.packb)):
            await member.send(pack({"action": "join", "session": "s"}))
            joined, _ = await hear(member)
            assert (joined["session_id"], joined["type"]) == ("s", "joined"), joined
        for id, session in (("in1", "s"), ("out", "t"), ("in2", "s")):
            await sender.send(json.dumps(chat(id, id) | {"session": session}))
        for member, kind in ((one, str), (other, bytes)):
            seen = {"in1": [], "in2": []}
            while not all(events and events[-1]["event"] in TERMINAL for events in seen.values()):
                told, heard = await hear(member)
                assert heard is kind and told["session_id"] == "s" and told["type"] == told["data"]["event"], told
                seen[told["data"]["id"]].append(told["data"])
            for id, events in seen.items():
                check_answer(events, id)
        await tell(one, action="leave", session="s")
        left, _ = await hear(one)
        assert (left["session_id"], left["type"]) == ("s", "left"), left


async def credit_sets_the_pace():
    async with connect(URL) as socket:
        frame = chat("paced", "x", tokens=40, tokens_per_second=400) | {"credit": 200}
        HEARS.validate(frame)
        await socket.send(json.dumps(frame))
        left, events = 200, []
        while not events or events[-1]["event"] not in TERMINAL:
            message = await asyncio.wait_for(socket.recv(), 60)
            event = json.loads(message)
            SAYS.validate(event)
            if event["event"] == "blocked":
                assert event["bytes"] > 0, event
                left += event["bytes"]
                await tell(socket, action="credit", id="paced", bytes=event["bytes"])
            elif event["event"] != "backpressure":
                uncounted = event["event"] in TERMINAL | {"queued", "gap"}
                left -= 0 if uncounted else len(message)
                assert left >= 0, "more than was taken"
                events.append(event)
        assert events[-1]["event"] == "chat.complete" and events[-1]["usage"]["output_tokens"] == 40, events[-1]


async def questions_are_answered():
    async with connect(URL) as socket:
        for action in ("system.health", "system.status", "models"):
            await tell(socket, action=action, id="q")
            [answer] = await events_of(socket, "q")
            assert answer["event"] == "complete" and answer["output"], answer
        await tell(socket, action="estimate", id="q", request=chat("ignored", "x"))
        [answer] = await events_of(socket, "q")
        assert answer["output"]["steps"], answer
        await socket.send(json.dumps(chat("known", "x")))
        check_answer(await events_of(socket, "known"), "x")
        await tell(socket, action="status", id="known")
        status, _ = await hear(socket)
        assert (status["status"], status["outcome"]["status"]) == ("ended", "succeeded"), status


async def a_frame_over_the_limit_closes_its_own_socket_only():
    async with connect(URL) as one, connect(URL) as other:
        await one.send(json.dumps(chat("large", "x" * FRAME_BYTES_MAX)))
        try:
            await hear(one)
            raise AssertionError("an answer")
        except ConnectionClosed as closed:
            assert closed.rcvd.code == 1009, closed
        await other.send(json.dumps(chat("neighbour", "still here")))
        check_answer(await events_of(other, "neighbour"), "still here")


async def main():
    await requests_interleave_on_one_socket_each_in_order()
    await frames_are_json_text_or_messagepack()
    await a_bad_frame_is_refused_and_its_neighbour_unharmed()
    await an_id_in_use_is_a_conflict()
    await an_id_is_free_again_with_the_last_frame()
    await a_stream_goes_on_where_it_broke_off()
    await a_request_can_be_cancelled()
    await health_is_told()
    await a_session_is_seen_by_all_who_join_it()
    await credit_sets_the_pace()
    await questions_are_answered()
    await a_frame_over_the_limit_closes_its_own_socket_only()


asyncio.run(main())
