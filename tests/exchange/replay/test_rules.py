"""The table of what a request is answered with that may have been made before."""

from typing import Any

import pytest

from app.exchange.replay.rules import RETRY_MS, Action, Ask, AttemptState, JoinPolicy, Known, decide

NOW = 10_000_000
POLICY = JoinPolicy(is_on=True, abandoned_ms=60_000)
OFF = JoinPolicy(is_on=False, abandoned_ms=60_000)
NEVER_BY_GUESS = JoinPolicy(is_on=True, abandoned_ms=0)

RUNNING, KEPT, LOST = AttemptState.RUNNING, AttemptState.KEPT, AttemptState.LOST
RUN, JOIN, REPLAY = Action.RUN, Action.JOIN, Action.REPLAY


def ask(key: str | None = None, retry: int = 0, fingerprint: str = "same") -> Ask:
    return Ask("key-1", "generation", fingerprint, key, retry)


def known(
    state: AttemptState, *, here: bool = True, key: str | None = None, ago: int | None = None, **more: Any
) -> Known:
    """`ago`: so long it is undelivered."""
    undelivered = None if ago is None else NOW - ago
    return Known("req-1", "same", state, here, NOW + 1, key, undelivered)._replace(**more)


@pytest.mark.parametrize(
    ("asked", "found", "policy", "action", "is_takeover"),
    [
        # With an Idempotency-Key, the key decides.
        (ask("k"), known(RUNNING, key="k"), POLICY, JOIN, False),
        (ask("k", retry=2), known(RUNNING, key="k"), POLICY, JOIN, False),
        (ask("k"), known(RUNNING, key="k", here=False), POLICY, Action.IN_PROGRESS, False),
        (ask("k"), known(RUNNING, key="k", expires_at_ms=0), POLICY, JOIN, False),
        (ask("k"), known(KEPT, key="k"), POLICY, REPLAY, False),
        (ask("k"), known(KEPT, key="k", here=False), POLICY, REPLAY, False),
        (ask("k"), known(KEPT, key="k", ago=5), OFF, REPLAY, False),
        (ask("k"), known(KEPT, key="k", expires_at_ms=NOW), POLICY, RUN, False),
        (ask("k"), known(LOST, key="k"), POLICY, Action.LOST, False),
        (ask("k", fingerprint="other"), known(KEPT, key="k"), POLICY, Action.REUSED, False),
        (ask("k", fingerprint="other"), known(RUNNING, key="k"), POLICY, Action.REUSED, False),
        (ask("k", fingerprint="other"), known(KEPT, key="k", expires_at_ms=NOW), POLICY, RUN, False),
        (ask("k"), known(KEPT, key="another"), POLICY, RUN, False),
        (ask("k", retry=1), known(KEPT, ago=5), POLICY, RUN, False),
        # Without one: what its caller waits for, or has, is never taken over.
        (ask(), known(RUNNING), POLICY, RUN, False),
        (ask(retry=1), known(RUNNING), POLICY, RUN, False),
        (ask(retry=1), known(KEPT), POLICY, RUN, False),
        (ask(retry=1), known(LOST), POLICY, RUN, False),
        # An undelivered attempt is taken over: by a retry that says so for ten minutes, by an equal request for one.
        (ask(retry=1), known(RUNNING, ago=5), POLICY, JOIN, True),
        (ask(), known(RUNNING, ago=5), POLICY, JOIN, True),
        (ask(), known(KEPT, ago=59_999), POLICY, REPLAY, True),
        (ask(), known(KEPT, ago=60_000), POLICY, RUN, False),
        (ask(retry=1), known(KEPT, ago=60_000), POLICY, REPLAY, True),
        (ask(retry=1), known(KEPT, ago=RETRY_MS - 1), POLICY, REPLAY, True),
        (ask(retry=1), known(KEPT, ago=RETRY_MS), POLICY, RUN, False),
        (ask(retry=1), known(KEPT, ago=5, here=False), POLICY, REPLAY, True),
        (ask(retry=1), known(LOST, ago=5), POLICY, Action.LOST, True),
        (ask(retry=1), known(RUNNING, ago=5, here=False), POLICY, Action.IN_PROGRESS, True),
        # But not by two at a time, not by another request, and not one that has an Idempotency-Key.
        (ask(retry=1), known(RUNNING, ago=5, is_taken=True), POLICY, RUN, False),
        (ask(retry=1, fingerprint="other"), known(RUNNING, ago=5), POLICY, RUN, False),
        (ask(retry=1), known(RUNNING, ago=5, key="k"), POLICY, RUN, False),
        # The settings.
        (ask(retry=1), known(RUNNING, ago=5), OFF, RUN, False),
        (ask(), known(RUNNING, ago=5), OFF, RUN, False),
        (ask(), known(RUNNING, ago=0), NEVER_BY_GUESS, RUN, False),
        (ask(retry=1), known(RUNNING, ago=5), NEVER_BY_GUESS, JOIN, True),
    ],
)
def test_what_a_request_is_answered_with(
    asked: Ask, found: Known, policy: JoinPolicy, action: Action, *, is_takeover: bool
) -> None:
    decision = decide(asked, [found], NOW, policy)
    assert (decision.action, decision.is_takeover) == (action, is_takeover)
    assert decision.known == (None if action is RUN else found)


def test_what_is_not_known_runs() -> None:
    assert decide(ask("k"), [], NOW, POLICY).action is RUN
    assert decide(ask(retry=2), [], NOW, POLICY).action is RUN


def test_what_gives_an_answer_comes_first_then_what_has_waited_longest() -> None:
    lost, elsewhere = known(LOST, ago=50), known(RUNNING, ago=40, here=False)
    young, old, running = known(KEPT, ago=10), known(KEPT, ago=30), known(RUNNING, ago=1)
    assert decide(ask(), [lost, elsewhere, young, old, running], NOW, POLICY).known is running
    assert decide(ask(), [lost, elsewhere, young, old], NOW, POLICY).known is old
    assert decide(ask(), [elsewhere, lost], NOW, POLICY).known is lost


def test_the_key_that_was_sent_is_found_among_others() -> None:
    mine = known(KEPT, key="mine")
    assert decide(ask("mine"), [known(KEPT, key="other"), mine], NOW, POLICY).known is mine
