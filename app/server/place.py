"""The slot of one worker after the other: its process, its line to the supervisor, its listening socket."""

import selectors
import socket
import subprocess
from dataclasses import dataclass, field

from app.server.messages import Lines, Using
from app.server.restarts import Restarts


@dataclass(slots=True)
class WorkerPlace:
    """Either a process runs, or the time of the next start is set."""

    number: int
    restarts: Restarts
    instance: str = ""  # the worker's name in the ledger
    process: "subprocess.Popen[bytes] | None" = None
    line: socket.socket | None = None
    listener: socket.socket | None = None
    started_at: float = 0.0
    ready_at: float | None = None
    heard_at: float = 0.0  # when it last reported
    due_at: float | None = None
    using: Using | None = None  # what it last said of its configuration
    _unsent: bytearray = field(default_factory=bytearray)
    _lines: Lines = field(default_factory=Lines)

    def connect(self, line: socket.socket) -> None:
        """A new worker is at the other end of this line."""
        self.line, self.using = line, None
        self._unsent, self._lines = bytearray(), Lines()

    @property
    def is_serving(self) -> bool:
        return self.process is not None and self.ready_at is not None

    @property
    def events(self) -> int:
        """What a selector is to wait for on the line."""
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)

    def say(self, message: bytes) -> None:
        """Sends it, now or when there is room in the line. Never waits for the worker. Nobody hears it without a
        worker.
        """
        if self.line is not None:
            self._unsent += message
            self.send_on()

    def send_on(self) -> None:
        """Sends what there is room for."""
        assert self.line is not None
        try:
            sent = self.line.send(self._unsent, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:  # it died; the end of the line reports it
            sent = len(self._unsent)
        del self._unsent[:sent]

    def hear(self) -> list[bytes] | None:
        """The lines that have come; None: the worker has ended."""
        assert self.line is not None
        try:
            received = self.line.recv(4096)
        except ConnectionError:  # it died before it had read everything
            return None
        return self._lines.whole(received) if received else None

    def close_listener(self) -> None:
        """Closes its listening socket, if it has one. May be called more than once."""
        if self.listener is not None:
            self.listener.close()
            self.listener = None
