"""What the doors need of the services, in one typed object that the app's lifespan fills."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, TypeVar

from sqlalchemy import Engine
from starlette.requests import HTTPConnection

from app.admin.access.administration import Administration
from app.api.edits.reading import EditBounds
from app.api.headers import header
from app.configuration.current import CurrentConfiguration
from app.database.readers import Readers
from app.exchange.in_flight import READ_ON_SECONDS, SETTLE_SECONDS_MAX, Exchanges
from app.exchange.jobs.jobs import Jobs
from app.exchange.jobs.submitting import Submissions
from app.exchange.replay.replays import Replays
from app.files.link_secrets import LinkSecrets
from app.files.store.store import FileStore
from app.files.uploads import Uploads
from app.identity.keys.authentication import Authenticator, Caller
from app.images.request.normalize import RequestPolicy
from app.quotas.ledger.ledger import Ledger
from app.settings.settings import Settings
from app.telemetry.event import RequestEvent
from app.telemetry.metrics import Metrics
from app.telemetry.recording import EVENT

# Of the pool's 10 connections; authentication has 4, the sweep 2.
_PROBES_AT_A_TIME = 2
_USAGE_AT_A_TIME = 2

_T = TypeVar("_T")


@dataclass(slots=True)
class Services:
    """Made once by app/main.py; lives as long as the app. `new_boundary` gives one for a form that nobody can guess."""

    configuration: CurrentConfiguration
    clock: Callable[[], datetime]
    engine: Engine
    authenticator: Authenticator
    ledger: Ledger
    exchanges: Exchanges
    uploads: Uploads
    files: FileStore
    links: LinkSecrets
    replays: Replays
    submissions: Submissions
    new_boundary: Callable[[], str]
    edit_bounds: EditBounds
    metrics: Metrics
    administration: Administration
    draining: bool = False
    _receiving: set["asyncio.Task[Any]"] = field(default_factory=set)  # of requests that are not exchanges yet
    # Probes and scrapes read through these, so that they cannot use up the connections that requests need.
    probes: Readers = field(default_factory=lambda: Readers(_PROBES_AT_A_TIME, "probes"))
    usage_readers: Readers = field(default_factory=lambda: Readers(_USAGE_AT_A_TIME, "usage"))

    @property
    def settings(self) -> Settings:
        """The present ones: a reload may change them between two requests."""
        return self.configuration.settings

    @property
    def jobs(self) -> Jobs:
        return self.submissions.jobs

    @property
    def policy(self) -> RequestPolicy:
        """The present one, as with the settings."""
        return self.configuration.policy

    @property
    def today(self) -> date:
        """The day in UTC."""
        return self.clock().date()

    def drain(self) -> float:
        """Takes no new requests from now on. Callers who still wait after GATEWAY_SHUTDOWN_SECONDS get an error.
        Returns within how many seconds every request has ended by itself."""
        self.draining = True
        seconds = self.settings.shutdown_seconds
        asyncio.get_running_loop().call_later(seconds, self._interrupt)
        return seconds + READ_ON_SECONDS + SETTLE_SECONDS_MAX

    async def receive(self, receiving: Awaitable[_T]) -> _T:
        """What `receiving` makes of a request; a stop that cannot wait any longer cancels it."""
        task = asyncio.current_task()
        assert task is not None
        self._receiving.add(task)
        try:
            return await receiving
        finally:
            self._receiving.discard(task)

    def _interrupt(self) -> None:
        """Nothing was bought for those who still send their request: an SDK may send it to another gateway."""
        self.exchanges.interrupt()
        for task in list(self._receiving):
            task.cancel()


def services_of(connection: HTTPConnection) -> Services:
    """The services for this request."""
    found: Services = connection.scope["state"]["services"]
    return found


def event_of(connection: HTTPConnection) -> RequestEvent:
    """This request's event."""
    found: RequestEvent = connection.scope["state"][EVENT]
    return found


async def authenticated(connection: HTTPConnection) -> Caller:
    """Who is asking. Raises AuthenticationFailed, StoreUnavailable."""
    return noted(connection, await services_of(connection).authenticator.authenticate(presented(connection)))


def noted(connection: HTTPConnection, caller: Caller) -> Caller:
    """The caller, who is now in the request's event."""
    event = event_of(connection)
    event.key_id, event.user, event.user_id = caller.key_id, caller.user_name, caller.user_id
    event.team = caller.team_name
    return caller


def presented(connection: HTTPConnection) -> str | None:
    """The Authorization header, or a key in one of the other headers that clients of other clouds use."""
    authorization = header(connection, b"authorization")
    if authorization is not None:
        return authorization
    key = header(connection, b"x-api-key") or header(connection, b"api-key")
    return None if key is None else f"Bearer {key}"
