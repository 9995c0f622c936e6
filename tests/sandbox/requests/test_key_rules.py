"""What the sandbox answers to one key and not to others."""

import pytest

from app.sandbox.requests.directives import DirectiveError
from app.sandbox.requests.key_rules import KeyRules, key_mark


def test_a_key_is_refused_until_its_rule_is_dropped_and_others_are_not() -> None:
    rules = KeyRules()
    rules.put("a", "status=429 retry-after=2")
    refused = rules.refusal_of("a")
    assert refused is not None
    assert (refused.status, refused.retry_after_seconds) == (429, 2)
    assert rules.refusal_of("b") is None
    rules.drop("a")
    assert rules.refusal_of("a") is None


def test_each_nth_request_is_refused() -> None:
    rules = KeyRules()
    rules.put("a", "status=402", 3)
    assert [rules.refusal_of("a") is not None for _ in range(6)] == [False, False, True, False, False, True]


@pytest.mark.parametrize(
    ("written", "every"), [("", 1), ("delay=1s", 1), ("status=402", 0), ("status=402] more", 1), ("nothing", 1)]
)
def test_what_is_no_refusal_is_no_rule(written: str, every: int) -> None:
    with pytest.raises(DirectiveError):
        KeyRules().put("a", written, every)


def test_rules_are_bounded() -> None:
    rules = KeyRules()
    for number in range(100):
        rules.put(str(number), "status=402")
    rules.put("0", "status=403")
    with pytest.raises(DirectiveError):
        rules.put("one more", "status=402")


def test_a_mark_tells_keys_apart_and_is_none() -> None:
    assert key_mark("a") != key_mark("b")
    assert "secret" not in key_mark("secret")
