"""When traces are made, what of OpenTelemetry is loaded, and what a request notes for its spans."""

import subprocess
import sys

import pytest

from app.telemetry.event import MOMENTS_MAX, Moments, RequestEvent
from app.telemetry.traces import traces_of

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}


@pytest.mark.parametrize(
    ("environment", "on"),
    [
        ({}, False),
        (ENDPOINT, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, True),
        ({**ENDPOINT, "OTEL_SDK_DISABLED": "true"}, False),
        ({**ENDPOINT, "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_SERVICE_NAME": "images"}, False),
    ],
)
def test_traces_are_made_if_a_collector_is_named(environment: dict[str, str], on: bool) -> None:
    assert (traces_of(environment, "1", "http://127.0.0.1/api/v1") is not None) is on


def test_the_missing_extra_is_a_warning(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr("app.telemetry.traces.find_spec", lambda _: None)
    assert traces_of(ENDPOINT, "1", "") is None
    assert [record.message for record in caplog.records] == ["traces_not_possible"]


def test_the_gateway_loads_nothing_that_makes_or_sends_spans() -> None:
    """FastAPI loads OpenTelemetry's names where they are installed; the SDK and the exporter are what costs."""
    program = "import sys, app.main; sys.exit(bool({'opentelemetry.sdk', 'opentelemetry.exporter'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_moments_are_noted_only_where_traces_are_made_and_are_bounded() -> None:
    event = RequestEvent("req", "/v1/images/generations", 0.0)
    event.mark("reserved")  # nobody keeps it
    event.moments = Moments(lambda: 2.0, {})
    event.mark("reserved")
    for index in range(1000):
        event.moments.note("partial_image", index=index)
    assert event.moments.at == {"reserved": 2.0}
    assert len(event.moments.happened) == MOMENTS_MAX
