"""The one log line of a request: what is known, times in milliseconds, money in dollars."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from select import PIPE_BUF

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.telemetry.event import Outcome, RequestEvent
from app.telemetry.logs import FIELDS, FieldsRecord, _JsonFormatter, configure_logging, request_line


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    switches = ("_srcfile", "logThreads", "logProcesses", "logMultiprocessing")
    states = [getattr(logging, name, None) for name in switches]
    yield
    for name, state in zip(switches, states, strict=True):
        setattr(logging, name, state)
    root.handlers[:], root.level = handlers, level


def test_only_what_is_known_is_told() -> None:
    event = RequestEvent("req_1", "/v1/models", started_at=10.0)
    event.status, event.ended_at = 200, 10.0125
    assert request_line(event) == {"request_id": "req_1", "path": "/v1/models", "status": 200, "duration_ms": 12.5}


def test_an_image_request_tells_its_outcome_and_cost() -> None:
    event = RequestEvent("req_1", "/v1/images/generations", started_at=10.0)
    event.operation, event.model, event.outcome, event.state = "generation", "other", Outcome.COMPLETED, "settled"
    event.cost_nanousd = 6_030_000
    line = request_line(event)
    assert (line["outcome"], line["cost_usd"], line["images"]) == ("completed", 0.00603, 0)


def test_a_line_is_one_json_object(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    configure_logging("info", "json")
    logging.getLogger("gateway.request").info("request", extra={"request_id": "req_1", "status": 200})
    line = json.loads(stream.getvalue())
    assert (line["event"], line["request_id"], line["level"]) == ("request", "req_1", "info")


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_a_record_of_fields_is_the_line_that_logging_would_make(
    monkeypatch: pytest.MonkeyPatch, log_format: str
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    configure_logging("info", log_format, worker=3)
    logger, fields = logging.getLogger("gateway.request"), {"request_id": "req_1", "status": 500, "cost_usd": 0.5}
    record = FieldsRecord(logger.name, logging.ERROR, "request", fields)
    logger.handle(record)
    usual = logger.makeRecord(logger.name, logging.ERROR, "", 0, "request", (), None, None, fields)
    usual.created = record.created
    logger.handle(usual)
    first, second = stream.getvalue().splitlines()
    assert (
        first[30 * (log_format == "text") :] == second[30 * (log_format == "text") :]
    )  # text begins with its own time
    assert "req_1" in first
    assert vars(record).keys() - {FIELDS} == vars(logging.makeLogRecord({})).keys()


@given(st.floats(1e9, 4e9))
@example(1_700_000_000.9999997)
@example(1_700_000_000.0)
def test_a_time_is_written_in_iso_format(seconds: float) -> None:
    told = _JsonFormatter({})._timestamp(seconds)
    assert told == datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")


def test_uvicorns_complaint_about_a_cut_made_on_purpose_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    configure_logging("info", "text")
    logging.getLogger("uvicorn.error").error("ASGI callable returned without completing response.")
    logging.getLogger("uvicorn.error").error("something else")
    assert "something else" in stream.getvalue()
    assert "ASGI callable" not in stream.getvalue()


async def test_the_lines_of_one_turn_of_the_loop_are_written_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    configure_logging("info", "json")
    for number in range(3):
        logging.getLogger("gateway.request").info("request", extra={"number": number})
    assert stream.getvalue() == ""
    await asyncio.to_thread(logging.getLogger("elsewhere").warning, "from another thread")
    assert [json.loads(line).get("number") for line in stream.getvalue().splitlines()] == [0, 1, 2, None]


def test_an_exception_is_told_with_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    configure_logging("info", "json")
    try:
        raise ValueError("wrong")
    except ValueError:
        logging.getLogger("gateway").exception("fault", extra={"what": ValueError, "request_id": "req_1"})
    line = json.loads(stream.getvalue())
    assert line["request_id"] == "req_1"
    assert line["exception"].endswith("ValueError: wrong")


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_a_worker_tells_its_number_in_every_line(monkeypatch: pytest.MonkeyPatch, log_format: str) -> None:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    configure_logging("info", log_format, worker=3)
    logging.getLogger("gateway").info("hello")
    assert ('"worker":3' if log_format == "json" else "worker=3") in stream.getvalue()


async def test_lines_are_written_in_pieces_that_a_pipe_takes_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several workers share one pipe; what is longer than it takes at once could be mixed with another's."""
    pieces: list[str] = []

    class Pieces(io.StringIO):
        def write(self, text: str) -> int:
            pieces.append(text)
            return len(text)

    monkeypatch.setattr("sys.stderr", Pieces())
    configure_logging("info", "json")
    for number in range(40):
        logging.getLogger("gateway").info("ü" * 300, extra={"number": number})
    await asyncio.sleep(0)
    assert 1 < len(pieces) < 40
    assert all(len(piece.encode()) <= PIPE_BUF and piece.endswith("\n") for piece in pieces)
    assert [json.loads(line)["number"] for line in "".join(pieces).splitlines()] == [*range(40)]
