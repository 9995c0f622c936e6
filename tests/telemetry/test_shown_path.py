"""A path in a log line: no key, one line, not long."""

import pytest

from app.telemetry.shown_path import shown_path


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/v1/images/generations", "/v1/images/generations"),
        ("/v1/sk-zg-0123456789ab-secret0123/x", "/v1/sk-***/x"),
        ("/SK-ai-v1-abc", "/sk-***"),
        ("/a\nb\x1b[31m", "/a?b?[31m"),
        ("/" + "a" * 500, "/" + "a" * 199 + "…"),
        ("/" + "\n" * 60_000, "/" + "?" * 199 + "…"),
        ("/" + "a" * 190 + "sk-zg-secret", "/" + "a" * 190 + "sk-***"),
        ("/" + "a" * 995 + "sk-zg-secret", "/" + "a" * 199 + "…"),
    ],
)
def test_a_path_is_masked_and_cut(path: str, shown: str) -> None:
    assert shown_path(path) == shown
