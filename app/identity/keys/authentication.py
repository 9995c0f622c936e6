"""Says who is asking, or refuses. Reads the database through a bounded cache. A failing database is never taken for a
wrong key.

A read of a key is used for `cache_seconds`, from the moment it began. So every request sees a change at most that long
after its commit. Expiry is compared at every use. Unknown keys are cached separately, so that guesses do not remove
good keys from the cache.
"""

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import anyio
from cachetools import LRUCache
from sqlalchemy import Engine

from app.database.clock import Clock
from app.database.engine import reading
from app.database.readers import Readers
from app.errors import AuthenticationFailed, StoreUnavailable
from app.identity.keys.credentials import Caller, Credential, read_credential, shown_key
from app.identity.keys.format import PREFIX, PresentedKey, parse

__all__ = ["Authenticator", "Caller"]

_READS_AT_A_TIME = 4  # of the pool's 10 connections; the ledger needs the others
_KEYS_IN_READING_MAX = 2000
_WAIT_SECONDS = 10
_HEADER_LENGTH_MAX = 512
_BLANKS = " \t"
_BEARER = re.compile(r"bearer(?:[ \t]+(?P<key>.*))?", re.IGNORECASE | re.ASCII | re.DOTALL)
_NO_TIME = timedelta()

_WHERE_TO_GET_ONE = "Ask whoever runs this gateway for one."


@dataclass(frozen=True, slots=True)
class _Reading:
    """The result of reading a key. `began_at` is before the query; `credential` None means unknown."""

    began_at: datetime
    credential: Credential | None


_Cache = LRUCache[PresentedKey, _Reading]


@dataclass(slots=True)
class _Flight:
    """The requests that wait for the same key. One of them reads; all that came before the read began use its result.

    Reads are numbered in the order they begin; `ended` is the number of the last one that finished.
    """

    lock: anyio.Lock = field(default_factory=anyio.Lock)
    request_count: int = 0
    begun: int = 0
    ended: int = 0
    credential: Credential | None = None
    failed: bool = False


class Authenticator:
    """Turns the Authorization header into a Caller. For one event loop; its reads run in worker threads."""

    def __init__(self, engine: Engine, clock: Clock, cache_seconds: float, cache_entries: int) -> None:
        self._engine = engine
        self._clock = clock
        self._lifetime = timedelta(seconds=cache_seconds)
        self._known: _Cache = LRUCache(cache_entries)
        self._unknown: _Cache = LRUCache(cache_entries)
        self._flights: dict[PresentedKey, _Flight] = {}
        self._readers = Readers(_READS_AT_A_TIME, "authentication")
        self._changed = 0  # how often keys were changed in this process

    async def authenticate(self, authorization: str | None) -> Caller:
        """The caller whose key is in the header's value. The value is None if the header is missing.

        Raises AuthenticationFailed if there is no key, or one that is unknown, expired or disabled; the message shows
        at most its public id. Raises StoreUnavailable if the database does not answer.
        """
        presented = presented_key(authorization)
        now = self._clock()
        remembered = self._recall(presented, now)
        if remembered is not None:
            credential = remembered.credential
        else:
            credential = await self._ask(presented)
            now = self._clock()
        if credential is None:
            raise _unknown(presented)
        refusal = credential.refusal(now)
        if refusal is not None:
            raise AuthenticationFailed(f"{refusal} {_WHERE_TO_GET_ONE}")
        return credential.caller

    def forget(self) -> None:
        """Keys or users were changed in this process: the next request of each key reads them again."""
        self._known.clear()
        self._unknown.clear()
        self._changed += 1

    async def _ask(self, presented: PresentedKey) -> Credential | None:
        flight = self._flights.get(presented)
        if flight is None:
            if len(self._flights) >= _KEYS_IN_READING_MAX:
                raise StoreUnavailable("The gateway's database is busy; try again shortly.")
            flight = self._flights[presented] = _Flight()
        flight.request_count += 1
        wanted = flight.begun + 1  # a read that already runs may have missed a change that this request must see
        try:
            with anyio.fail_after(_WAIT_SECONDS):
                async with flight.lock:
                    if flight.ended < wanted:
                        remembered = self._recall(presented, self._clock())
                        if remembered is not None:
                            return remembered.credential
                        await self._read_for(presented, flight)
        except TimeoutError as error:
            raise StoreUnavailable("The gateway's database is busy; try again shortly.") from error
        finally:
            flight.request_count -= 1
            if flight.request_count == 0:
                del self._flights[presented]
        if flight.failed:
            raise StoreUnavailable("The gateway's database is not available; try again shortly.")
        return flight.credential

    async def _read_for(self, presented: PresentedKey, flight: _Flight) -> None:
        flight.begun += 1
        began_at, changed = self._clock(), self._changed
        try:
            flight.credential = await self._readers.run(lambda: self._read(presented), _WAIT_SECONDS)
        except StoreUnavailable:
            flight.failed, flight.ended = True, flight.begun
            raise
        flight.failed, flight.ended = False, flight.begun
        if changed == self._changed:  # else it may have read what was before
            self._remember(presented, _Reading(began_at, flight.credential))

    def _read(self, presented: PresentedKey) -> Credential | None:
        with reading(self._engine) as connection:
            return read_credential(connection, presented)

    def _recall(self, presented: PresentedKey, now: datetime) -> _Reading | None:
        remembered = self._known.get(presented) or self._unknown.get(presented)
        if remembered is None:
            return None
        age = now - remembered.began_at
        return remembered if _NO_TIME <= age < self._lifetime else None  # a negative age: the clock was set back

    def _remember(self, presented: PresentedKey, what: _Reading) -> None:
        into, out_of = (self._unknown, self._known) if what.credential is None else (self._known, self._unknown)
        out_of.pop(presented, None)
        into[presented] = what


def presented_key(authorization: str | None) -> PresentedKey:
    """The key in the value of an Authorization header.

    Raises AuthenticationFailed that says what to send instead. Nothing of the value is repeated.
    """
    if authorization is None or not authorization.strip():
        raise AuthenticationFailed(
            f"You didn't provide an API key. Send yours in the header `Authorization: Bearer {PREFIX}…`. "
            f"{_WHERE_TO_GET_ONE}"
        )
    bearer = _BEARER.fullmatch(authorization.strip(_BLANKS)) if len(authorization) <= _HEADER_LENGTH_MAX else None
    if bearer is None:
        raise AuthenticationFailed(
            f"The Authorization header cannot be read. Send `Authorization: Bearer {PREFIX}…`, the key after the "
            "word Bearer."
        )
    key = bearer["key"]
    if not key:
        raise AuthenticationFailed(f"There is no API key after the word Bearer. {_WHERE_TO_GET_ONE}")
    presented = parse(key)
    if presented is None:
        raise _unknown(None)
    return presented


def _unknown(presented: PresentedKey | None) -> AuthenticationFailed:
    """The same words for what is no key and for an imported key that nobody has."""
    if presented is not None and presented.id is not None:
        return AuthenticationFailed(f"Incorrect API key provided: {shown_key(presented.id)}. {_WHERE_TO_GET_ONE}")
    return AuthenticationFailed(
        f"Incorrect API key provided. Keys of this gateway begin with {PREFIX} and are copied whole, without "
        f"quotes or spaces. {_WHERE_TO_GET_ONE}"
    )
