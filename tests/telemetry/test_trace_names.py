"""The names of spans' attributes: no two are the same, and they are written as OpenTelemetry writes names."""

import re

from app.telemetry import trace_names


def test_names_are_unique_and_well_formed() -> None:
    names = [value for key, value in vars(trace_names).items() if key.isupper() and isinstance(value, str)]
    assert len(set(names)) == len(names) > 25
    assert all(re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", name) for name in names)
