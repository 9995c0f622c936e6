"""What processes share of the accounts, in the database: an operator's word, which all obey, and what each has learnt.

The functions take a connection and block. A process looks every two seconds, so an operator's word reaches all soon.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection, Engine, and_, delete, insert, or_, select

from app.database.changes import Change, lock_changes, record_change
from app.database.clock import from_ms, to_ms
from app.database.engine import reading, writing
from app.database.readers import Readers
from app.database.schema import account_tables, ledger_tables
from app.errors import StoreUnavailable
from app.upstream.accounts.accounts import Accounts
from app.upstream.accounts.states import Availability, Why

POLL_SECONDS = 2.0
_WAIT_SECONDS = 10.0
_OPERATOR = ""

_table = account_tables.account_states
_rows = _table.c

logger = logging.getLogger("gateway")


class SharedState(NamedTuple):
    """What a process says of an account. `until` None: nobody knows."""

    account: str
    instance: str
    state: Availability
    why: str | None
    until: datetime | None


class OperatorWord(NamedTuple):
    """What an operator last said of an account: that it rests, until when (None: until it is resumed), or is up."""

    account: str
    is_up: bool
    until: datetime | None
    at: datetime


def rest_account(connection: Connection, account: str, until: datetime | None, change: Change) -> None:
    """Takes an account out in every process, until then or until `resume_account`."""
    _say(connection, account, Availability.DOWN if until is None else Availability.RESTING, until, change)
    shown = {"until": until.isoformat(timespec="seconds") if until else None}
    record_change(connection, change, "account.rest", f"account {account}", None, shown)


def resume_account(connection: Connection, account: str, change: Change) -> None:
    """Takes an account in again in every process, whatever kept it out."""
    _say(connection, account, Availability.UP, None, change)
    record_change(connection, change, "account.resume", f"account {account}", None, None)


def operator_words(connection: Connection) -> dict[str, OperatorWord]:
    """What operators last said, by account."""
    query = select(_rows.account, _rows.state, _rows.until_ms, _rows.at_ms).where(_rows.instance == _OPERATOR)
    return {
        account: OperatorWord(account, state == Availability.UP, None if until is None else from_ms(until), from_ms(at))
        for account, state, until, at in connection.execute(query)
    }


def living_states(connection: Connection, dead: frozenset[str]) -> list[SharedState]:
    """What the processes that are not `dead` say."""
    query = select(_table).where(_rows.instance != _OPERATOR).order_by(_rows.account, _rows.instance)
    return [
        SharedState(row.account, row.instance, Availability(row.state), row.why, _moment(row.until_ms))
        for row in connection.execute(query)
        if row.instance not in dead
    ]


def publish(connection: Connection, instance: str, states: Sequence[SharedState], now: datetime) -> None:
    """Writes what a process says, in place of what it said before, and forgets processes that are long gone."""
    known = select(ledger_tables.heartbeats.c.instance)
    is_gone = and_(_rows.instance != _OPERATOR, _rows.instance.not_in(known))
    connection.execute(delete(_table).where(or_(_rows.instance == instance, is_gone)))
    if states:
        values = [
            {
                "account": each.account,
                "instance": instance,
                "state": each.state.value,
                "why": each.why,
                "until_ms": None if each.until is None else to_ms(each.until),
                "at_ms": to_ms(now),
            }
            for each in states
        ]
        connection.execute(insert(_table), values)


def _say(connection: Connection, account: str, state: Availability, until: datetime | None, change: Change) -> None:
    lock_changes(connection)
    connection.execute(delete(_table).where(_rows.account == account, _rows.instance == _OPERATOR))
    until_ms = None if until is None else to_ms(until)
    values = {"why": Why.OPERATOR.value, "until_ms": until_ms, "at_ms": to_ms(change.now)}
    connection.execute(insert(_table).values(account=account, instance=_OPERATOR, state=state.value, **values))


def _moment(ms: int | None) -> datetime | None:
    return None if ms is None else from_ms(ms)


class Sharing:
    """Has the accounts of this process obey operators, and tells the others what it has learnt."""

    def __init__(self, engine: Engine, accounts: Accounts, instance: str, clock: Callable[[], datetime]) -> None:
        self._engine = engine
        self._accounts = accounts
        self._instance = instance
        self._clock = clock
        self._readers = Readers(1, "accounts")
        self._heard: dict[str, OperatorWord] | None = None
        self._said: list[SharedState] = []

    async def run(self) -> None:
        """Exchanges words for ever. While the database is away, what is known stays."""
        while True:
            await self.exchange()
            await asyncio.sleep(POLL_SECONDS)

    async def exchange(self) -> None:
        """Once."""
        try:
            words = await self._readers.run(self._read, _WAIT_SECONDS)
            self._obey(words)
            states = self._states()
            if states != self._said:
                await self._readers.run(lambda: self._write(states), _WAIT_SECONDS)
                self._said = states
        except StoreUnavailable:
            logger.debug("account_states_not_shared")

    def _read(self) -> dict[str, OperatorWord]:
        with reading(self._engine) as connection:
            return operator_words(connection)

    def _write(self, states: Sequence[SharedState]) -> None:
        with writing(self._engine) as connection:
            publish(connection, self._instance, states, self._clock())

    def _obey(self, words: dict[str, OperatorWord]) -> None:
        now, heard, self._heard = self._clock(), self._heard, words
        for account in self._accounts.all:
            word = words.get(account.name)
            if word is None:
                continue
            is_rested = account.state.why is Why.OPERATOR
            is_new = heard is None or heard.get(account.name) != word
            if word.is_up:
                if is_rested or (is_new and heard is not None):
                    self._accounts.resume(account.name)
            elif (is_new or not is_rested) and (word.until is None or word.until > now):
                seconds = None if word.until is None else (word.until - now).total_seconds()
                self._accounts.rest(account.name, seconds)

    def _states(self) -> list[SharedState]:
        """`until` in whole seconds, so that it does not change from one moment to the next."""
        now, found = self._clock().replace(microsecond=0), []
        for account in self._accounts.all:
            state, seconds = self._accounts.state_of(account), self._accounts.seconds_left(account)
            until = (
                None if seconds is None or state.kind is Availability.UP else now + timedelta(seconds=round(seconds))
            )
            why = state.why.value if state.why is not None and state.kind is not Availability.UP else None
            before = next((each for each in self._said if each.account == account.name), None)
            if (
                before is not None
                and (before.state, before.why) == (state.kind, why)
                and _is_about(before.until, until)
            ):
                until = before.until
            found.append(SharedState(account.name, self._instance, state.kind, why, until))
        return found


def _is_about(one: datetime | None, other: datetime | None) -> bool:
    return one is None or other is None or abs((one - other).total_seconds()) <= POLL_SECONDS
