"""The account a request is on: its route and its reservation there, which change together.

It goes on to the next account only with what was never sent, or was refused for the account's sake. A refusal of the
request or its content would meet every account, one after the other.
"""

from collections.abc import Callable
from typing import Self

from app.errors import LimitReached, NoAccountUp, UpstreamError, UpstreamUnreachable
from app.exchange.ending import Facts
from app.exchange.in_flight import Exchanges
from app.quotas.ledger.attempts.rows import AttemptRow
from app.quotas.ledger.lease import Lease
from app.quotas.rules.limits import Scope
from app.quotas.rules.reservation import Hold
from app.telemetry.event import RequestEvent
from app.upstream.response import UpstreamResponse
from app.upstream.route import Route
from app.upstream.sending import OnSending, UpstreamBody


class OnAccount:
    """Use it as a context, and `reserve` in it once. `model` is a catalog id."""

    def __init__(self, shared: Exchanges, model: str, facts: Facts, event: RequestEvent) -> None:
        self._ledger = shared.ledger
        self._upstream = shared.upstream
        self._clock = shared.clock
        self._model = model
        self._facts = facts
        self._event = event
        self._tried: set[str] = set()
        self._route: Route | None = None
        self._lease: Lease

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._route is not None:
            await self._route.aclose()

    async def reserve(self, hold_on: Callable[[Route], Hold], attempt: AttemptRow | None = None) -> Lease:
        """Takes the hold on the account whose turn it is; if a limit of that account refuses, on the next one.

        Raises as Routes.choose and Ledger.reserve do.
        """
        self._route = route = await self._upstream.routes.choose(self._model)
        while True:
            self._event.account = route.account.name
            try:
                self._lease = await self._ledger.reserve(hold_on(route), attempt)
            except LimitReached as refusal:
                if refusal.scope != Scope.ACCOUNT:
                    raise
                self._upstream.accounts.note_full(route.account)
                if (other := await self._next()) is None:
                    raise
                await route.turn_to(other)
            else:
                return self._lease

    async def ask(self, path: str, body: UpstreamBody, on_sending: OnSending) -> UpstreamResponse:
        """As Upstream.ask, on one account after the other."""
        route = self._route
        assert route is not None
        while True:
            try:
                return await self._upstream.ask(route, path, body.content, body.content_type, on_sending)
            except UpstreamError as error:
                if not body.is_kept or not self._may_move(route, error) or not await self._move_from(route, error):
                    raise

    async def _move_from(self, route: Route, error: UpstreamError) -> bool:
        """As `_move`. The error counts for the account that is left, unless the caller gets it."""
        before = self._event.left_accounts
        self._event.left_accounts = (*before, (error.kind, route.account.name))
        has_moved = await self._move(route)
        if not has_moved:
            self._event.left_accounts = before
        return has_moved

    def _may_move(self, route: Route, error: UpstreamError) -> bool:
        facts, accounts = self._facts, self._upstream.accounts
        if not accounts.are_several or error.billed is not False or facts.client_left or facts.interrupted:
            return False
        if isinstance(error, UpstreamUnreachable):
            self._tried |= accounts.behind(route.account)  # the same server would not be reached either
            return True
        return error.account_why is not None

    async def _move(self, route: Route) -> bool:
        """Turns to the next account, with the reservation. False if no other is up and has room."""
        self._facts.dispatched = False  # it is proven that nothing was bought
        while (other := await self._next()) is not None:
            try:
                await self._lease.move(other.account.name, self._clock(), is_dispatched=other.waiting is not None)
            except LimitReached:
                self._upstream.accounts.note_full(other.account)
                await other.aclose()
            except BaseException:
                await other.aclose()
                raise
            else:
                await route.turn_to(other)
                self._event.account = other.account.name
                return True
        return False

    async def _next(self) -> Route | None:
        """Over an account that this request has not tried yet."""
        assert self._route is not None
        self._tried.add(self._route.account.name)
        try:
            other = await self._upstream.routes.choose(self._model, self._tried)
        except NoAccountUp:
            return None
        self._tried.add(other.account.name)
        return other
