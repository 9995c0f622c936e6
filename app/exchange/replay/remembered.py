"""What the database remembers of an attempt, as the rules see it. Pure."""

from app.exchange.replay.rules import AttemptState, Known
from app.quotas.ledger.attempts.finding import FoundAttempt

_ENDING_MS = 120_000
"""How long an attempt of another process, which is settled, may take until it says how it ended."""


def known_of(found: FoundAttempt, now_ms: int, *, is_shared: bool) -> Known | None:
    """An attempt that does not run in this process; None if it bought nothing. `is_shared`: other processes may run."""
    row = found.row
    if not found.is_bought:
        return None
    state = AttemptState(row.state)
    if state is AttemptState.RUNNING and not (is_shared and _may_run(found, now_ms)):
        state = AttemptState.LOST
    return Known(
        row.request_id,
        row.fingerprint,
        state,
        is_here=False,
        expires_at_ms=row.expires_at_ms,
        idempotency_key=row.idempotency_key,
        undelivered_at_ms=row.undelivered_at_ms,
    )


def _may_run(found: FoundAttempt, now_ms: int) -> bool:
    if found.reservation_state == "pending":
        return True
    is_over = found.reservation_state in (None, "expired") or found.resolved_at_ms is None
    return not is_over and now_ms - (found.resolved_at_ms or 0) < _ENDING_MS
