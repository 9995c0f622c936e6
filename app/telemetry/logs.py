"""Log lines: one JSON object each, or one readable line. Sets up logging once per process. Formats request events."""

import logging
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson

from app.telemetry.event import RequestEvent
from app.telemetry.line_writer import LineWriter, to_descriptor

_FLUSH_SECONDS_MAX = 2.0
_INCOMPLETE_RESPONSE = "ASGI callable returned without completing response."
_DIM, _BOLD, _BLUE, _CYAN, _MAGENTA = "\x1b[2m", "\x1b[1m", "\x1b[34m", "\x1b[36m", "\x1b[35m"
_RED, _GREEN, _YELLOW = "\x1b[31m", "\x1b[32m", "\x1b[33m"
_LEVEL_COLORS = {"debug": _GREEN, "info": _GREEN, "warning": _YELLOW, "error": _RED, "critical": _RED}

_BLANK = dict(vars(logging.makeLogRecord(dict.fromkeys(("process", "processName", "thread", "threadName")))))
_OWN_ATTRIBUTES = frozenset(_BLANK) | {"message", "asctime", "color_message"}


class FieldsRecord(logging.LogRecord):
    """A record that consists of its fields, with texts as names: for the one line of every request.

    A normal record looks up file, thread and process, which our lines do not show.
    """

    def __init__(self, name: str, level: int, event: str, fields: dict[str, object]) -> None:
        self.__dict__ = _BLANK.copy()
        self.name, self.msg, self.fields = name, event, fields
        self.levelno, self.levelname = level, logging.getLevelName(level)
        self.created = time.time()
        self.msecs = self.created % 1 * 1000


class _JsonFormatter(logging.Formatter):
    """One JSON object a line: event, level, logger, what the record was given as `extra`, timestamp, exception.

    It is on every request's path.
    """

    def __init__(self, more: dict[str, object]) -> None:
        super().__init__()
        self._more = more
        self._second, self._second_text = 0, ""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {"event": record.getMessage(), "level": record.levelname.lower(), "logger": record.name}
        line |= _fields_of(record)
        line |= self._more
        line["timestamp"] = self._timestamp(record.created)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        option = None if isinstance(record, FieldsRecord) else orjson.OPT_NON_STR_KEYS
        return orjson.dumps(line, default=str, option=option).decode("utf-8", "replace")

    def _timestamp(self, seconds: float) -> str:
        """As datetime.isoformat writes it in UTC, which takes longer than all the rest of a line: so once a second."""
        second = int(seconds)
        microseconds = round((seconds - second) * 1e6)
        if microseconds == 1_000_000:
            second, microseconds = second + 1, 0
        if second != self._second:
            self._second, self._second_text = second, f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}"
        return f"{self._second_text}.{microseconds:06}+00:00"


class _TextFormatter(logging.Formatter):
    """One readable line: time, level, event, logger, the fields by name; an exception's traceback below it.

    What could be taken for another line, or steers a terminal, is written as Python would quote it.
    """

    def __init__(self, more: dict[str, object], *, has_colors: bool) -> None:
        super().__init__()
        self._more = more
        self._has_colors = has_colors

    def format(self, record: logging.LogRecord) -> str:
        paint = self._paint
        event = record.getMessage()
        level = record.levelname.lower()
        words = [
            paint(datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"), _DIM),
            f"[{paint(f'{level:<9}', _LEVEL_COLORS.get(level, _DIM))}]",
            paint(event if event.isprintable() else repr(event), _BOLD),
            f"[{paint(record.name, _BLUE)}]",
        ]
        fields = _fields_of(record) | self._more
        words += [f"{paint(name, _CYAN)}={paint(_text_of(fields[name]), _MAGENTA)}" for name in sorted(fields)]
        line = " ".join(words)
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line

    def _paint(self, text: str, color: str) -> str:
        return f"{color}{text}\x1b[0m" if self._has_colors else text


def _fields_of(record: logging.LogRecord) -> dict[str, object]:
    """What a record says besides its event."""
    if isinstance(record, FieldsRecord):
        return record.fields
    return {name: value for name, value in vars(record).items() if name not in _OWN_ATTRIBUTES}


def _text_of(value: object) -> str:
    is_plain = isinstance(value, str) and value.isprintable() and not set(value) & set(" =\"'")
    return str(value) if is_plain else repr(value)


class _LinesHandler(logging.Handler):
    """Makes the lines, in the thread that logs; a LineWriter writes them."""

    def __init__(self, stream: Any, make_formatter: Callable[[], logging.Formatter]) -> None:  # noqa: ANN401 - stderr
        super().__init__()
        self.setFormatter(make_formatter())
        describing = make_formatter()  # another, for the writer's thread

        def describe(count: int) -> bytes:
            record = FieldsRecord("gateway", logging.WARNING, "log_lines_dropped", {"count": count})
            return _encoded(describing.format(record))

        self.writer = LineWriter(_writing_to(stream), describe)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - what cannot be told must not stop what is being done
            line = self.format(FieldsRecord("gateway", logging.ERROR, "line_not_made", {"from_logger": record.name}))
        self.writer.put(_encoded(line))

    def flush(self) -> None:
        """Called at the end of the process. Does not wait for a reader that takes nothing."""
        self.writer.flush(_FLUSH_SECONDS_MAX)

    def close(self) -> None:
        self.writer.close()
        super().close()


def _encoded(line: str) -> bytes:
    return line.encode("utf-8", "replace") + b"\n"


def _writing_to(stream: Any) -> Callable[[bytes], object]:  # noqa: ANN401 - stderr, or what a test puts there
    try:
        return to_descriptor(stream.fileno())
    except (AttributeError, OSError, ValueError):  # a stream in memory
        return lambda data: stream.write(data.decode())


def count_dropped_lines(count: Callable[[int], None]) -> None:
    """From now on `count` is called with the number of lines that could not be written."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, _LinesHandler):
            handler.writer.tell_dropped(count)


class _ExpectedCuts(logging.Filter):
    """Drops uvicorn's complaint about answers that the exchange breaks off on purpose; the request's own line reports
    it.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        return record.msg != _INCOMPLETE_RESPONSE


def configure_logging(level: str, log_format: str, worker: int | None = None) -> None:
    """Send every log line of the process to stderr in one form, with a worker's number where it has one. Idempotent."""
    more: dict[str, object] = {} if worker is None else {"worker": worker}
    has_colors = log_format == "text" and sys.stderr.isatty() and "NO_COLOR" not in os.environ

    def make_formatter() -> logging.Formatter:
        return _JsonFormatter(more) if log_format == "json" else _TextFormatter(more, has_colors=has_colors)

    handler = _LinesHandler(sys.stderr, make_formatter)
    # Data that our lines do not show, and that each record would look up.
    logging._srcfile = None  # noqa: SLF001 - a switch that the logging HOWTO names
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    root = logging.getLogger()
    for known in root.handlers:
        if isinstance(known, _LinesHandler):
            known.flush()
            known.close()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(level.upper())
    uvicorn_errors = logging.getLogger("uvicorn.error")
    if not any(isinstance(known, _ExpectedCuts) for known in uvicorn_errors.filters):
        uvicorn_errors.addFilter(_ExpectedCuts())
    # These log every connection and statement; the request's own line has what matters.
    for name in ("httpx2", "httpcore2", "alembic", "sqlalchemy", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)


def request_line(event: RequestEvent) -> dict[str, object]:
    """The fields of a request's one log line: only what is known, times in milliseconds."""
    usage = event.usage
    fields: dict[str, object] = {
        "request_id": event.request_id,
        "trace_id": event.trace_id,
        "path": event.path,
        "status": event.status,
        "outcome": event.outcome.value if event.operation else None,
        "operation": event.operation,
        "model": event.model if event.operation else None,
        "key_id": event.key_id,
        "user": event.user,
        "stream": event.stream,
        "n": event.n,
        "size": event.size,
        "quality": event.quality,
        "input_images": event.input_images or None,
        "received_bytes": event.received_bytes or None,
        "normalized": ", ".join(event.changes) or None,
        "shadow_refusals": ", ".join(event.shadow_refusals) or None,
        "error_code": event.error_code,
        "refusal": event.refusal,
        "account": event.account,
        "replay": event.replay,
        "replay_of": event.replay_of,
        "reservation": event.state,
        "usage_source": event.usage_source,
        "input_tokens": usage.input_tokens if usage else None,
        "output_tokens": usage.output_tokens if usage else None,
        "implausible_tokens": event.usage_implausible.total_tokens if event.usage_implausible else None,
        "images": event.images if event.state else None,
        "cost_usd": _usd(event.cost_nanousd),
        "held_usd": _usd(event.held_nanousd),
        "upstream_status": event.upstream_status,
        "upstream_request_id": event.upstream_request_id,
        "upstream_error": event.upstream_error,
        "upstream_reason": event.upstream_reason,
        "sent_bytes": event.sent_bytes or None,
        "overhead_ms": _ms(event.seconds_until(event.dispatched_at)),
        "first_byte_ms": _ms(event.seconds_until(event.first_byte_at)),
        "duration_ms": _ms(event.seconds_until(event.ended_at)),
    }
    for name in [name for name, value in fields.items() if value is None]:
        del fields[name]
    return fields


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)


def _usd(nanousd: int | None) -> float | None:
    return None if nanousd is None else nanousd / 1e9
