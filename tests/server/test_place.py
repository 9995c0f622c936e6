"""A worker's line, from the supervisor's side: it never waits for the worker."""

import selectors
import socket
from collections.abc import Iterator

import pytest

from app.server.place import WorkerPlace
from app.server.restarts import Restarts


@pytest.fixture
def pair() -> Iterator[tuple[WorkerPlace, socket.socket]]:
    ours, theirs = socket.socketpair()
    place = WorkerPlace(1, Restarts())
    place.connect(ours)
    with ours, theirs:
        yield place, theirs


def test_a_worker_that_reads_nothing_holds_nobody_and_gets_everything_later(
    pair: tuple[WorkerPlace, socket.socket],
) -> None:
    place, worker = pair
    long = b"x" * 5_000_000 + b"\n"
    place.say(long)
    place.say(b"last\n")
    assert place.events == selectors.EVENT_READ | selectors.EVENT_WRITE
    received = bytearray()
    while not received.endswith(b"last\n"):
        received += worker.recv(1_000_000)
        place.send_on()
    assert received == long + b"last\n"
    assert place.events == selectors.EVENT_READ


def test_one_that_has_died_is_not_written_to(pair: tuple[WorkerPlace, socket.socket]) -> None:
    place, worker = pair
    worker.close()
    place.say(b"hello\n")
    assert place.events == selectors.EVENT_READ
    assert place.hear() is None


def test_what_it_says_is_heard_in_whole_lines(pair: tuple[WorkerPlace, socket.socket]) -> None:
    place, worker = pair
    worker.sendall(b"ready\n\nhal")
    assert place.hear() == [b"ready", b""]
    worker.sendall(b"f\n")
    assert place.hear() == [b"half"]


def test_the_next_worker_hears_nothing_that_was_meant_for_the_last(pair: tuple[WorkerPlace, socket.socket]) -> None:
    place, _ = pair
    place.say(b"x" * 5_000_000)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        place.connect(ours)
        place.say(b"hello\n")
        assert theirs.recv(100) == b"hello\n"


def test_without_a_worker_nobody_hears() -> None:
    WorkerPlace(1, Restarts()).say(b"hello\n")
