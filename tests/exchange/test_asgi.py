"""A caller on a socket: leaving, stalling, a silent stream kept alive, an answer left unfinished."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.responses import Response

from app.api.error_responses import error_event, error_response, wire_error
from app.errors import GatewayError, Overloaded
from app.exchange.asgi import AsgiDownstream
from app.exchange.downstream import EarlyHead, no_event_begun
from app.exchange.tasks import Tasks


class Client:
    """An ASGI client: keeps what it was sent; leaves or stops reading when told to."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.arrived = asyncio.Event()
        self.leaves = asyncio.Event()
        self.reads = asyncio.Event()
        self.reads.set()

    async def receive(self) -> dict[str, Any]:
        await self.leaves.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        await self.reads.wait()
        self.messages.append(message)
        self.arrived.set()

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages)


def answer_to(error: GatewayError) -> Response:
    return error_response(wire_error(error))


def downstream_of(client: Client, stall_seconds: float = 60) -> AsgiDownstream:
    return AsgiDownstream(client.receive, client.send, Tasks(), stall_seconds, error_event, answer_to)


async def test_what_is_sent_arrives_in_order_with_its_headers() -> None:
    client = Client()
    downstream = downstream_of(client)
    downstream.headers = [(b"x-one", b"1")]
    await downstream.start(200, 4)
    await downstream.write(b"ab")
    await downstream.write(b"cd")
    await downstream.finish()
    assert client.messages[0]["headers"] == [(b"x-one", b"1"), (b"content-length", b"4")]
    assert client.body == b"abcd"
    assert client.messages[-1]["more_body"] is False


async def test_an_answer_shorter_than_declared_is_never_finished() -> None:
    client = Client()
    downstream = downstream_of(client)
    await downstream.start(200, 4)
    await downstream.write(b"abc")
    await downstream.finish()
    assert client.messages[-1]["more_body"] is True


@pytest.mark.parametrize("is_whole", [True, False])
async def test_an_answer_that_is_known_to_be_whole_ends_with_its_last_byte(is_whole: bool) -> None:
    client = Client()
    downstream = downstream_of(client)
    await downstream.start(200, 4)
    await downstream.write(b"ab", is_whole=is_whole)
    assert client.messages[-1]["more_body"] is True
    await downstream.write(b"cd", is_whole=is_whole)
    assert client.messages[-1]["more_body"] is not is_whole
    await downstream.finish()
    assert client.messages[-1]["more_body"] is False
    assert len(client.messages) == (3 if is_whole else 4)


async def test_leaving_is_told_once_and_sending_goes_on_as_a_no_op() -> None:
    client, told = Client(), asyncio.Event()
    downstream = downstream_of(client)
    await downstream.start(200, None)
    downstream.watch(told.set)
    client.leaves.set()
    await told.wait()
    await downstream.write(b"nobody reads this")
    assert downstream.left
    assert client.body == b""


async def test_a_client_that_takes_nothing_counts_as_gone_and_is_told_once() -> None:
    client, told = Client(), list[str]()
    downstream = downstream_of(client, stall_seconds=0.01)
    client.reads.clear()
    downstream.watch(lambda: told.append("left"))
    await downstream.start(200, None)
    assert (downstream.left, told) == (True, ["left"])
    client.leaves.set()
    await asyncio.sleep(0)  # the watching task sees it leave as well
    await asyncio.sleep(0)
    assert told == ["left"]


async def test_nothing_is_told_of_a_client_that_is_not_watched_any_more() -> None:
    client, told = Client(), list[str]()
    downstream = downstream_of(client, stall_seconds=0.01)
    downstream.watch(lambda: told.append("left"))
    downstream.close()
    client.reads.clear()
    await downstream.start(200, None)
    client.leaves.set()
    await asyncio.sleep(0)
    assert (downstream.left, told) == (True, [])


async def test_only_one_long_wait_counts_not_many_short_ones() -> None:
    client = Client()
    downstream = downstream_of(client, stall_seconds=0.2)
    await downstream.start(200, None)
    for _ in range(10):
        client.reads.clear()
        asyncio.get_running_loop().call_later(0.04, client.reads.set)
        await downstream.write(b"x")
    assert not downstream.left
    client.reads.clear()
    await downstream.write(b"y")
    assert downstream.left
    assert client.body == b"x" * 10


async def test_a_cancellation_that_is_no_stall_goes_on() -> None:
    client = Client()
    downstream = downstream_of(client)
    await downstream.start(200, None)
    client.reads.clear()
    sending = asyncio.ensure_future(downstream.write(b"x"))
    await asyncio.sleep(0)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert not downstream.left


async def test_a_silent_stream_gets_comments_between_events_only() -> None:
    client, at_boundary = Client(), False
    downstream = downstream_of(client)
    await downstream.start(200, None)
    client.arrived.clear()
    downstream.keep_alive(0.02, lambda: at_boundary)
    await asyncio.sleep(0.1)  # several times the interval: the absence of a comment has no event to wait for
    assert not client.arrived.is_set()
    at_boundary = True
    await asyncio.wait_for(client.arrived.wait(), 10)
    downstream.close()
    assert client.body.startswith(b": keep-alive\n")


async def test_a_busy_stream_gets_no_comments() -> None:
    client = Client()
    downstream = downstream_of(client)
    await downstream.start(200, None)
    downstream.keep_alive(30, lambda: True)
    await downstream.write(b"data: x\n\n")
    await asyncio.sleep(0)
    downstream.close()
    assert client.body == b"data: x\n\n"


async def test_a_finished_stream_gets_no_comments() -> None:
    client = Client()
    downstream = downstream_of(client)
    await downstream.start(200, None)
    downstream.keep_alive(0.001, lambda: True)
    await downstream.finish()
    count = len(client.messages)
    await asyncio.sleep(0.02)
    assert (len(client.messages), client.messages[-1]["more_body"]) == (count, False)
    downstream.close()


async def test_an_error_ends_a_stream_and_leaves_a_document_unfinished() -> None:
    for event_end, is_ended in ((None, False), (lambda _: b"", True)):
        client = Client()
        downstream = downstream_of(client)
        downstream.event_end = event_end
        await downstream.fail(Overloaded("not begun"))
        assert client.messages == []
        await downstream.start(200, None)
        await downstream.fail(Overloaded("begun"))
        assert (b"begun" in client.body, not client.messages[-1].get("more_body", True)) == (is_ended, is_ended)


async def test_what_ends_early_takes_nothing_afterwards() -> None:
    client = Client()
    downstream = downstream_of(client)
    await downstream.end_early(Overloaded("stop"))
    await downstream.start(200, None)
    await downstream.write(b"late")
    await downstream.finish()
    assert [message["type"] for message in client.messages] == ["http.response.start", "http.response.body"]
    assert b"stop" in client.body
    assert b"late" not in client.body


def early_head(after_seconds: float, keepalive_seconds: float, *, stream: bool = False) -> EarlyHead:
    event_end = no_event_begun if stream else None
    return EarlyHead(after_seconds, keepalive_seconds, [(b"x-one", b"1")], event_end)


async def begun_early(client: Client, *, stream: bool, old: bool = False) -> AsgiDownstream:
    """A downstream whose answer has begun early, once the client has the first filler of it."""
    downstream = downstream_of(client)
    downstream.has_chunks = not old
    client.arrived.clear()
    downstream.begin_early(early_head(0.001, 60, stream=stream))
    while not client.body:
        await asyncio.wait_for(client.arrived.wait(), 10)
        client.arrived.clear()
    return downstream


@pytest.mark.parametrize(("stream", "filler"), [(True, b": keep-alive\n"), (False, b" ")])
async def test_a_silent_answer_begins_early_and_goes_on_as_any_other(stream: bool, filler: bytes) -> None:
    client = Client()
    downstream = await begun_early(client, stream=stream)
    assert downstream.started
    assert client.messages[0] == {"type": "http.response.start", "status": 200, "headers": [(b"x-one", b"1")]}
    downstream.headers = [(b"x-two", b"2")]
    await downstream.start(200, 4)
    if stream:
        downstream.keep_alive(60, lambda: True)
    await downstream.write(b"abcd", is_whole=True)
    await downstream.finish()
    downstream.close()
    assert client.body == filler + b"abcd"
    assert [message["type"] for message in client.messages].count("http.response.start") == 1
    assert client.messages[-1]["more_body"] is False


async def test_what_begins_in_time_does_not_begin_early() -> None:
    client = Client()
    downstream = downstream_of(client)
    downstream.begin_early(early_head(0.01, 0.01))
    await downstream.start(200, 2)
    await asyncio.sleep(0.05)  # several times the time: the absence of white space has no event to wait for
    await downstream.write(b"{}", is_whole=True)
    downstream.close()
    assert client.body == b"{}"
    assert client.messages[0]["headers"] == [(b"content-length", b"2")]


async def test_an_old_client_gets_no_document_early_for_it_knows_no_chunks() -> None:
    client = Client()
    downstream = downstream_of(client)
    downstream.has_chunks = False
    downstream.begin_early(early_head(0.001, 60))
    await asyncio.sleep(0.02)
    assert (downstream.started, client.messages) == (False, [])
    downstream.close()
    assert (await begun_early(Client(), stream=True, old=True)).started


async def test_white_space_ends_where_a_document_begins() -> None:
    client = Client()
    downstream = downstream_of(client)
    downstream.begin_early(early_head(0.001, 0.002))
    while len(client.body) < 3:
        await asyncio.wait_for(client.arrived.wait(), 10)
        client.arrived.clear()
    await downstream.write(b'{"a":')
    size = len(client.body)
    await asyncio.sleep(0.02)
    assert len(client.body) == size
    downstream.close()


@pytest.mark.parametrize("stream", [True, False])
async def test_a_failure_after_an_early_head_is_never_a_success(stream: bool) -> None:
    client = Client()
    downstream = await begun_early(client, stream=stream)
    await downstream.fail(Overloaded("broke"))
    if not stream:
        await downstream.finish()
    downstream.close()
    is_ended = not client.messages[-1].get("more_body", True)
    assert (is_ended, b"event: error" in client.body) == (stream, stream)


async def test_a_stop_before_the_head_sends_its_error_and_no_head_after_it() -> None:
    client = Client()
    downstream = downstream_of(client)
    downstream.begin_early(early_head(0.005, 60))
    await downstream.end_early(Overloaded("stop"))
    await asyncio.sleep(0.02)
    assert [message["type"] for message in client.messages] == ["http.response.start", "http.response.body"]
    downstream.close()


async def _whole(downstream: AsgiDownstream) -> None:
    await downstream.start(200, None)
    await downstream.write(b"{}")
    await downstream.finish()


async def _stopped(downstream: AsgiDownstream) -> None:
    await downstream.end_early(Overloaded("stop"))


async def _failed(downstream: AsgiDownstream) -> None:
    await downstream.fail(Overloaded("broke"))


@pytest.mark.parametrize("turns", range(6))
@pytest.mark.parametrize("is_slow", [False, True])
@pytest.mark.parametrize("goes_on", [_whole, _stopped, _failed])
@pytest.mark.parametrize("stream", [True, False])
async def test_nothing_goes_before_an_early_head(
    turns: int, is_slow: bool, goes_on: Callable[[AsgiDownstream], Awaitable[None]], stream: bool
) -> None:
    """However few turns of the event loop lie between its time and what comes next; also if it is waited for."""
    client = Client()
    downstream = downstream_of(client)
    if is_slow:
        client.reads.clear()
        asyncio.get_running_loop().call_later(0.01, client.reads.set)
    downstream.begin_early(early_head(0, 60, stream=stream))
    for _ in range(turns):
        await asyncio.sleep(0)
    if goes_on is not _failed or downstream.started:
        await goes_on(downstream)
    downstream.close()
    await asyncio.sleep(0)
    kinds = [message["type"] for message in client.messages]
    assert kinds[:1] == ["http.response.start"][: len(kinds)]
    assert kinds.count("http.response.start") <= 1
    if goes_on is _whole:
        assert client.body.endswith(b"{}")
    elif stream and kinds:  # a document that has begun just breaks off
        assert b'"message":' in client.body
