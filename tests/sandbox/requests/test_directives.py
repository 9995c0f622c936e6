"""The language of faults: what is understood, and what is refused with a word on how to write it."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from app.sandbox.requests.directives import DIRECTIVES, DirectiveError, Directives, parse_directives

MANUAL = Path(__file__).parents[3] / "docs" / "sandbox.md"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("status=429", {"status": 429}),
        ("status=402 type=quote_exceeded", {"status": 402, "type": "quote_exceeded"}),
        ("status=429 retry-after=5", {"status": 429, "retry_after_seconds": 5}),
        ("moderation", {"moderation": "openai"}),
        ("moderation=azure", {"moderation": "azure"}),
        ("delay=2s", {"delay_seconds": 2.0}),
        ("delay=1.5m", {"delay_seconds": 90.0}),
        ("gap=100ms", {"gap_seconds": 0.1}),
        ("slow=1MB/s", {"bytes_per_second": 1_000_000}),
        ("cut=0.5", {"cut": 0.5}),
        ("cut=0", {"cut": 0.0}),
        ("stall", {"stall": 0.5}),
        ("stall=0.25", {"stall": 0.25}),
        ("reset", {"reset": True}),
        ("no-usage", {"no_usage": True}),
        ("no-details", {"no_details": True}),
        ("usage=100x", {"usage_factor": 100}),
        ("no-completed", {"no_completed": True}),
        ("error-event", {"error_event": True}),
        ("error-event shape=flat", {"error_event": True, "shape": "flat"}),
        ("body=30MB", {"body_bytes": 30_000_000}),
        ("body=1.5kb", {"body_bytes": 1500}),
        ("garbage", {"garbage": True}),
        ("html", {"html": 502}),
        ("html=503", {"html": 503}),
        ("empty", {"empty": True}),
        ("headers", {"headers": True}),
        ("chunked", {"chunked": True}),
        ("gzip", {"gzip": True}),
        ("", {}),
    ],
)
def test_each_directive_is_understood(text: str, expected: dict[str, Any]) -> None:
    assert parse_directives(f"[sandbox: {text}]") == (replace(Directives(), **expected), "")


def test_directives_stand_anywhere_in_the_prompt_and_are_not_drawn() -> None:
    found, rest = parse_directives("A fox [Sandbox:delay=1s gap=2s] in\nthe snow [sandbox: reset]")
    assert found == Directives(delay_seconds=1, gap_seconds=2, reset=True)
    assert rest == "A fox in the snow"


def test_a_prompt_without_directives_asks_for_a_healthy_answer() -> None:
    assert parse_directives("A sandbox [with toys]") == (Directives(), "A sandbox [with toys]")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("statsu=429", "'statsu'"),
        ("status", "status=N"),
        ("status=418", "'status=418'"),
        ("status=+429", "'status=+429'"),
        ("status=429 type=access_denied", "'type=access_denied' does not go with status=429"),
        ("type=rate_limit", "'type' needs 'status'"),
        ("retry-after=5", "'retry-after' needs 'status'"),
        ("shape=flat", "'shape' needs 'error-event'"),
        ("error-event shape=round", "'shape=round'"),
        ("delay=2", "'delay=2'"),
        ("delay=61m", "'delay=61m'"),
        ("slow=1MB", "'slow=1MB'"),
        ("body=2GB", "'body=2GB'"),
        ("body=0MB", "'body=0MB'"),
        ("cut=1", "'cut=1'"),
        ("cut=nan", "'cut=nan'"),
        ("cut=half", "'cut=half'"),
        ("usage=0x", "'usage=0x'"),
        ("html=204", "'html=204'"),
        ("reset=yes", "'reset' takes no value"),
        ("reset reset", "'reset' is given twice"),
        ("cut=0.5 stall", "'cut' and 'stall' exclude each other"),
        ("status=500 moderation", "'status' and 'moderation' exclude each other"),
        ("no-usage no-details", "exclude each other"),
    ],
)
def test_what_is_not_understood_is_named_with_the_list(text: str, named: str) -> None:
    with pytest.raises(DirectiveError) as refused:
        parse_directives(f"A fox [sandbox: {text}]")
    assert named in str(refused.value)
    assert "Known directives: status=N," in str(refused.value)


@pytest.mark.parametrize("prompt", ["A fox [sandbox: reset", "A fox [sandbox reset]", "A fox [sandbox]"])
def test_a_block_that_is_not_one_is_refused(prompt: str) -> None:
    with pytest.raises(DirectiveError, match="not closed or has no colon"):
        parse_directives(prompt)


def test_every_field_has_its_directive() -> None:
    assert {directive.field for directive in DIRECTIVES} == {field.name for field in fields(Directives)}


@pytest.mark.parametrize("directive", DIRECTIVES, ids=lambda directive: directive.name)
def test_the_manual_lists_it(directive: Any) -> None:
    assert f"| `{directive.form}` |" in MANUAL.read_text(encoding="utf-8")
