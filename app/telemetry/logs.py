"""Log lines: one JSON object, or one readable line, each. Sets up logging once a process; formats request events."""

import logging
import sys
from typing import Any

import structlog

from app.telemetry.event import RequestEvent

_INCOMPLETE_RESPONSE = "ASGI callable returned without completing response."


class _ExpectedCuts(logging.Filter):
    """Drops uvicorn's complaint about answers the exchange breaks off on purpose; the request's own line tells it."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.msg != _INCOMPLETE_RESPONSE


def configure_logging(level: str, log_format: str) -> None:
    """Send every log line of the process to stderr in one form. Idempotent."""
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer = (
        structlog.processors.JSONRenderer(sort_keys=False)
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0)
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
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
    # These tell of every connection and statement; what matters of them is in the request's own line.
    for name in ("aiohttp", "httpx2", "alembic", "sqlalchemy", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)


def request_line(event: RequestEvent) -> dict[str, object]:
    """The fields of a request's one log line: only what is known, times in milliseconds."""
    usage = event.usage
    fields: dict[str, object | None] = {
        "request_id": event.request_id,
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
        "normalized": ", ".join(event.changes) or None,
        "shadow_refusals": ", ".join(event.shadow_refusals) or None,
        "error_code": event.error_code,
        "refusal": event.refusal,
        "reservation": event.state,
        "usage_source": event.usage_source,
        "input_tokens": usage.input_tokens if usage else None,
        "output_tokens": usage.output_tokens if usage else None,
        "images": event.images if event.state else None,
        "cost_usd": _usd(event.cost_nanousd),
        "held_usd": _usd(event.held_nanousd),
        "upstream_status": event.upstream_status,
        "upstream_request_id": event.upstream_request_id,
        "upstream_error": event.upstream_error,
        "sent_bytes": event.sent_bytes or None,
        "overhead_ms": _ms(event.seconds_until(event.dispatched_at)),
        "first_byte_ms": _ms(event.seconds_until(event.first_byte_at)),
        "duration_ms": _ms(event.seconds_until(event.ended_at)),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)


def _usd(nanousd: int | None) -> float | None:
    return None if nanousd is None else nanousd / 1e9
