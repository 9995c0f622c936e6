"""One caller's connection: uvicorn's HTTP/1.1 protocol with a bound on everything a caller may send or hold.

What is out of bounds gets an error answer, after the answers to earlier requests, and ends the connection.
"""

import asyncio
from typing import Any
from urllib.parse import unquote

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from app.server.http.bounds import HOOKS, Bounds, Fault, Hooks
from app.server.http.connections import Connections
from app.server.http.cycle import Cycle, new_cycle
from app.server.http.deadlines import Seen, Stage
from app.server.http.refusals import HEAD_BYTES_MAX, HEADERS_MAX, Enough, Refusal, answer_bytes, error_of
from app.server.http.upgrade import parser_behind

_UNREAD_BYTES_MAX = 16_777_216  # dropped as they come, so that who reads only after sending has the answer
_NO_HOOKS = Hooks()


class GatewayProtocol(HttpToolsProtocol):
    """`self.cycle` is the request read last. `self._running` is the one that is being answered, or None. At most one
    more, `self._next`, waits.
    """

    # With more than 30 attributes Python gives each object a table of names of its own: 1.3 KB a connection.
    __slots__ = (
        "_bare_bytes", "_head_bytes", "_hooks", "_is_deaf", "_is_excess", "_next", "_packet_bytes", "_received",
        "_running", "_stage", "_trailers", "_turn", "_unread_bytes", "_upgrade_offered", "_writable",
    )  # fmt: skip
    shared: Connections
    cycle: Cycle

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._hooks: Hooks = app_state.get(HOOKS, _NO_HOOKS)
        self._running: Cycle | None = None
        self._next: Cycle | None = None
        self._stage = Stage.IDLE
        self._turn = self._received = self._writable = self._packet_bytes = 0
        self._head_bytes = 0  # received in earlier packets
        self._bare_bytes = 0  # of packets in a row that contain no byte of the body
        self._trailers = self._unread_bytes = 0
        self._upgrade_offered = self._is_deaf = self._is_excess = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn does
        super().connection_made(transport)
        if not self.shared.admit(self, self.loop, self._hooks):
            self._is_deaf = self._is_excess = True
            if not transport.is_closing():
                self._answer_and_end(Fault.TOO_MANY)

    def connection_lost(self, exc: Exception | None) -> None:
        self.shared.dismiss(self)
        # Every request of this connection has lost its caller: the running one and the waiting one.
        if self._running is not None:
            self._running.lose_caller()
            self._running = None
        self._next = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        size = len(data)
        self._received += size
        if self._is_deaf:
            self._leave_unread(size)
            return
        if self._stage is Stage.IDLE:
            self._enter_head()
        before, self._packet_bytes = self._turn, size
        self._bare_bytes += size
        try:
            self._feed(data)
        except httptools.HttpParserError as error:
            self._stop_reading(error.__context__)
            return
        if self._turn == before:
            self._check_unfinished(size)

    def resume_writing(self) -> None:
        self._writable += 1
        self.flow.resume_writing()

    # --- Called by the parser

    def on_message_begin(self) -> None:
        if self._next is not None:
            raise Enough
        if self._stage is not Stage.HEAD:
            self._enter_head()
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._stage is not Stage.HEAD:  # a trailer is skipped: none may act like a header
            self._trailers += 1
            if self._trailers > HEADERS_MAX:
                raise Refusal(Fault.TRAILERS_TOO_LARGE)
            return
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))
        if len(self.headers) > HEADERS_MAX:
            raise Refusal(Fault.HEAD_TOO_LARGE)

    def on_headers_complete(self) -> None:
        if self._head_bytes + self._packet_bytes > HEAD_BYTES_MAX:
            self._check_head()
        parser, scope = self.parser, self.scope
        http_version, method = parser.get_http_version(), parser.get_method()
        self._upgrade_offered = parser.should_upgrade()
        if method == b"CONNECT":
            raise Refusal(Fault.MALFORMED)
        scope["method"] = method.decode("ascii")
        if http_version != "1.1":
            scope["http_version"] = http_version
        url = httptools.parse_url(self.url)
        path = url.path.decode("ascii")
        scope["path"] = unquote(path) if "%" in path else path
        scope["raw_path"] = url.path
        scope["query_string"] = url.query or b""
        self._bare_bytes = self._trailers = 0
        self._enter(Stage.BODY)
        self.cycle = new_cycle(self, self._hooks, self.shared.files)
        if self._running is None:
            self._start(self.cycle)
        else:
            self._next = self.cycle

    def on_body(self, body: bytes) -> None:
        self._bare_bytes = 0
        cycle = self.cycle
        if cycle.response_complete:
            return
        cycle.gather(body)
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        if self._upgrade_offered:  # httptools ends such a request with its head; `_feed` reads its body
            return
        cycle = self.cycle
        if not cycle.response_complete:
            cycle.more_body = False
            cycle.message_event.set()
        self._enter(Stage.IDLE if self._running is None else Stage.ANSWER)

    # --- Called by a cycle and by the server

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        cycle, self._running = self._running, None
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if cycle is not None and cycle.leaves_unread:
            self._is_deaf = True
            self._end_answered()
        elif self._next is not None:
            cycle, self._next = self._next, None
            self._start(cycle)
        elif self._stage is Stage.ANSWER:
            self._enter(Stage.IDLE)

    def shutdown(self) -> None:
        if self._running is None:
            self.transport.close()
        else:
            self._running.keep_alive = False

    # --- Called by `Connections`, once a tick

    def seen(self) -> Seen:
        running = self._running
        stage = Stage.ANSWER if self.transport.is_closing() else self._stage
        is_ours = running is not None and (
            stage is Stage.HEAD or (stage is Stage.BODY and (self.flow.read_paused or running is not self.cycle))
        )
        unsent = self.transport.get_write_buffer_size() + (running.unsent if running is not None else 0)
        return Seen(stage, self._turn, self._received, unsent, self._writable, is_ours)

    def end(self, fault: Fault) -> None:
        """Ends the connection for a fault that `Connections` has counted already."""
        if fault is Fault.ANSWER_STALLED:
            self.transport.abort()  # closing would wait for data that nobody receives
        else:
            self._refuse(fault)

    def close(self) -> None:
        self.transport.close()

    # --- Reading

    def _feed(self, data: bytes) -> None:
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                data = data[offer.args[0] :]
                self._upgrade_offered = False
                self.parser = parser_behind(self.headers, self)
            else:
                return

    def _enter(self, stage: Stage) -> None:
        self._stage = stage
        self._turn += 1

    def _enter_head(self) -> None:
        self._head_bytes = 0
        self._enter(Stage.HEAD)

    def _check_unfinished(self, size: int) -> None:
        """The packet ended in the stage in which it began."""
        if self._stage is Stage.HEAD:
            self._head_bytes += size
            if self._head_bytes > HEAD_BYTES_MAX:
                self._count_and_refuse(Fault.HEAD_TOO_LARGE)
        elif self._stage is Stage.BODY and self._bare_bytes > HEAD_BYTES_MAX:
            self._count_and_refuse(Fault.TRAILERS_TOO_LARGE)

    def _check_head(self) -> None:
        """Counted exactly only if packets could contain too much; they may contain other things as well."""
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > HEAD_BYTES_MAX:
            raise Refusal(Fault.HEAD_TOO_LARGE)

    def _stop_reading(self, cause: BaseException | None) -> None:
        if isinstance(cause, Enough):
            self._is_deaf = True
            self.cycle.keep_alive = False
        else:
            self._count_and_refuse(cause.fault if isinstance(cause, Refusal) else Fault.MALFORMED)

    def _leave_unread(self, size: int) -> None:
        self._unread_bytes += size
        if self._is_excess:  # it makes room as soon as it can
            self.transport.close()
        elif self._unread_bytes > _UNREAD_BYTES_MAX:
            self.flow.pause_reading()

    # --- Answering and ending

    def _start(self, cycle: Cycle) -> None:
        self._running = cycle
        self._start_asgi_task(cycle, self.app)

    def _count_and_refuse(self, fault: Fault) -> None:
        self.shared.count(fault, self.loop.time())
        self._refuse(fault)

    def _refuse(self, fault: Fault) -> None:
        """Reads nothing any more. A complete request keeps its answer. The request at fault gets the error, unless it
        has an answer already.
        """
        self._is_deaf = True
        cycle = self.cycle if self._stage is Stage.BODY else None  # the one at fault, if its head was right
        if self._running is not None and self._running is not cycle:
            self._next = None
            self._running.keep_alive = False
            self._enter(Stage.ANSWER)
            return
        if cycle is not None:
            cycle.lose_caller()
            self._running = None
            if cycle.response_started:
                self.transport.close()
                return
        self._answer_and_end(fault)

    def _answer_and_end(self, fault: Fault) -> None:
        response = self._hooks.answer(error_of(fault))
        self.transport.write(answer_bytes(response, self.server_state.default_headers))
        self._end_answered()

    def _end_answered(self) -> None:
        # Closed when the caller has closed, or soon: closing with unread bytes would reset the connection before the
        # caller has read the answer.
        self.transport.write_eof()
        self._enter(Stage.ENDING)


def protocol_of(bounds: Bounds) -> type[GatewayProtocol]:
    """The protocol of one process, whose connections share `bounds`."""
    return type("BoundedProtocol", (GatewayProtocol,), {"shared": Connections(bounds)})
