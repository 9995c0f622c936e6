"""The row of an attempt, and what the ledger is asked to do with it. Pure values; app/exchange/replay decides."""

from typing import NamedTuple


class AttemptRow(NamedTuple):
    """The columns of an attempt, in the table's words."""

    request_id: str
    key_id: str
    operation: str
    idempotency_key: str | None
    fingerprint: str
    instance: str
    state: str
    file_id: str | None
    undelivered_at_ms: int | None
    expires_at_ms: int


class PutAttempt(NamedTuple):
    """Write the row, over the one that is there. One with an `idempotency_key` changes only if it is there."""

    row: AttemptRow


class ForgetAttempt(NamedTuple):
    """Delete the row: nothing was bought under its key."""

    request_id: str


class TakeAttempt(NamedTuple):
    """Make it delivered, so that nobody else takes it over. DONE, or ALREADY_RESOLVED if somebody else was first.

    `row` is what is known of it: it is written if there is no row, which is so after a crash.
    """

    row: AttemptRow


AttemptCommand = PutAttempt | ForgetAttempt | TakeAttempt
ATTEMPT_COMMANDS = (PutAttempt, ForgetAttempt, TakeAttempt)  # a union would be made anew at every call
