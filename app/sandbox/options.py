"""The options of the stand-in. Everything has a default that works."""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from app.images.catalog.catalog import Catalog


def _now() -> datetime:
    return datetime.fromtimestamp(time.time(), UTC)


def _new_request_id() -> str:
    return uuid.uuid4().hex


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxOptions:
    """`catalog` None is the built-in one; `font` None the one that is shipped. Times in seconds, sizes in bytes."""

    clock: Callable[[], datetime] = _now
    new_request_id: Callable[[], str] = _new_request_id
    catalog: Catalog | None = None
    font: Path | None = None
    comment_seconds: float = 10.0  # between two `: ZENMUX PROCESSING` of a waiting stream
    stall_seconds_max: float = 1800.0  # then a stalled connection is closed
    draws_at_a_time: int = 2
    connections_max: int = 4000  # idle ones count; beyond it 503, without ZenMux's envelope
    bill_rows_max: int = 100_000
    json_bytes_max: int = 1_000_000
    json_edit_bytes_max: int = 64_000_000  # images as data URLs, held in memory
    upload_bytes_max: int = 900_000_000  # sixteen files of 50 MB and a mask, spooled to disk
    shutdown_seconds: int = 2
    json_edits_fail: bool = False  # 500 to every edit sent as JSON, whatever it holds: seen live
