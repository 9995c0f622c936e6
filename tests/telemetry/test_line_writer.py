"""Lines are written by a thread: in order, bounded, and what is lost is counted and reported."""

import os
import threading
from select import PIPE_BUF

from app.telemetry.line_writer import LineWriter, pieces, to_descriptor


def describe(count: int) -> bytes:
    return b"%d lost\n" % count


class Disk:
    """Where lines go: it can be full, and it can hold whoever writes."""

    def __init__(self) -> None:
        self.text = b""
        self.is_full = False
        self.is_writing = threading.Event()
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def write(self, data: bytes) -> None:
        self.is_writing.set()
        self.may_go_on.wait(20)
        if self.is_full:
            raise OSError(28, "No space left on device")
        self.text += data


def test_lines_are_written_in_their_order() -> None:
    disk = Disk()
    writer = LineWriter(disk.write, describe)
    for number in range(1000):
        writer.put(b"%d\n" % number)
    assert writer.flush(20)
    assert disk.text == b"".join(b"%d\n" % number for number in range(1000))
    writer.close()


def test_what_cannot_be_written_is_counted_and_told_when_it_can() -> None:
    disk, dropped = Disk(), list[int]()
    writer = LineWriter(disk.write, describe)
    writer.tell_dropped(dropped.append)
    disk.is_full = True
    writer.put(b"one\n")
    writer.put(b"two\n")
    assert writer.flush(20)
    assert sum(dropped) == 2
    disk.is_full = False
    writer.put(b"three\n")
    assert writer.flush(20)
    assert disk.text == b"2 lost\nthree\n"
    writer.close()


def test_a_reader_that_takes_nothing_holds_nobody() -> None:
    disk, dropped = Disk(), list[int]()
    writer = LineWriter(disk.write, describe, bytes_max=40)
    writer.tell_dropped(dropped.append)
    disk.may_go_on.clear()
    writer.put(b"first\n")
    assert disk.is_writing.wait(20)
    for _ in range(100):
        writer.put(b"0123456789\n")
    assert sum(dropped) == 97
    assert not writer.flush(0.01)
    disk.may_go_on.set()
    assert writer.flush(20)
    assert disk.text == b"first\n97 lost\n" + b"0123456789\n" * 3
    writer.close()


def test_the_thread_ends_when_it_is_closed() -> None:
    disk = Disk()
    writer = LineWriter(disk.write, describe)
    writer.put(b"last\n")
    writer.close()
    thread = writer._thread
    assert thread is not None
    thread.join(20)
    assert disk.text == b"last\n"


def test_lines_are_written_in_pieces_that_a_pipe_takes_whole() -> None:
    """Several workers share one pipe; what is longer than it takes at once could be mixed with another's."""
    lines = [b"%d" % number + b"x" * 600 + b"\n" for number in range(40)]
    found = list(pieces(lines))
    assert 1 < len(found) < 40
    assert all(len(piece) <= PIPE_BUF and piece.endswith(b"\n") for piece, _ in found)
    assert b"".join(piece for piece, _ in found) == b"".join(lines)
    assert sum(count for _, count in found) == 40
    assert list(pieces([b"x" * 10_000])) == [(b"x" * 10_000, 1)]


def test_a_descriptor_on_which_nobody_waits_gets_everything() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    data = os.urandom(300_000)
    thread = threading.Thread(target=to_descriptor(writer), args=[data])
    thread.start()
    got = b""
    while len(got) < len(data):
        got += os.read(reader, 65_536)
    thread.join(20)
    assert got == data
    os.close(reader)
    os.close(writer)
