"""The one log line of a request: what is known, times in milliseconds, money in dollars."""

import io
import json
import logging
import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.telemetry.event import Outcome, RequestEvent
from app.telemetry.logs import FieldsRecord, _JsonFormatter, configure_logging, request_line


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


def written(stream: io.StringIO) -> str:
    """All lines so far: another thread writes them."""
    logging.getLogger().handlers[0].flush()
    return stream.getvalue()


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
    line = json.loads(written(stream))
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
    first, second = written(stream).splitlines()
    assert (
        first[30 * (log_format == "text") :] == second[30 * (log_format == "text") :]
    )  # text begins with its own time
    assert "req_1" in first
    assert vars(record).keys() - {"fields"} == vars(logging.makeLogRecord({})).keys()


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
    assert "something else" in written(stream)
    assert "ASGI callable" not in written(stream)


def test_the_lines_of_several_threads_are_written_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    configure_logging("info", "json")
    for number in range(3):
        logging.getLogger("gateway.request").info("request", extra={"number": number})
    thread = threading.Thread(target=logging.getLogger("elsewhere").warning, args=["from another thread"])
    thread.start()
    thread.join()
    assert [json.loads(line).get("number") for line in written(stream).splitlines()] == [0, 1, 2, None]


def test_a_line_that_cannot_be_made_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    configure_logging("info", "json")
    logging.getLogger("gateway").info("%d", "not a number")
    assert json.loads(written(stream))["event"] == "line_not_made"


def test_an_exception_is_told_with_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    configure_logging("info", "json")
    try:
        raise ValueError("wrong")
    except ValueError:
        logging.getLogger("gateway").exception("fault", extra={"what": ValueError, "request_id": "req_1"})
    line = json.loads(written(stream))
    assert line["request_id"] == "req_1"
    assert line["exception"].endswith("ValueError: wrong")


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_a_worker_tells_its_number_in_every_line(monkeypatch: pytest.MonkeyPatch, log_format: str) -> None:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    configure_logging("info", log_format, worker=3)
    logging.getLogger("gateway").info("hello")
    assert ('"worker":3' if log_format == "json" else "worker=3") in written(stream)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("req_1", "req_1"),
        ("é", "é"),
        ("with space", "'with space'"),
        ("a=b", "'a=b'"),
        ("a\nb", r"'a\nb'"),
        ("\x1b[2J", r"'\x1b[2J'"),
        ("", ""),
        (1.5, "1.5"),
        (None, "None"),
    ],
)
def test_text_quotes_what_would_not_be_read_as_one_value(
    monkeypatch: pytest.MonkeyPatch, value: object, shown: str
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    configure_logging("info", "text")
    logging.getLogger("gateway").info("hello", extra={"what": value, "before": 1})
    assert written(stream).split(" ", 1)[1] == f"[info     ] hello [gateway] before=1 what={shown}\n"


def test_text_has_colors_on_a_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setattr(stream, "isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    configure_logging("info", "text")
    logging.getLogger("gateway").warning("hello", extra={"what": "x"})
    assert "\x1b[33mwarning  \x1b[0m] \x1b[1mhello\x1b[0m" in written(stream)


def test_text_shows_a_traceback_below_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    configure_logging("info", "text")
    try:
        raise ValueError("wrong")
    except ValueError:
        logging.getLogger("gateway").exception("fault", extra={"request_id": "req_1"})
    first, *lines = written(stream).splitlines()
    assert first.endswith("[error    ] fault [gateway] request_id=req_1")
    assert (lines[0], lines[-1]) == ("Traceback (most recent call last):", "ValueError: wrong")
