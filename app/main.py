"""The composition root: makes every part from the settings, opens and closes them. The only file that knows all."""

import asyncio
import logging
import os
import random
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TypedDict

import httpx2
from fastapi import FastAPI
from sqlalchemy import Engine
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

import app
from app.admin.access.administration import open_administration
from app.admin_api.door import PREFIXES, admin_door
from app.alerts.hook import webhook_of
from app.alerts.sender import Sender
from app.alerts.watch import account_watch, threshold_watch
from app.api.cors import Cors
from app.api.edits.reading import EditBounds
from app.api.endpoints import files, health, images, models, usage
from app.api.endpoints import jobs as job_routes
from app.api.endpoints.docs import docs_router
from app.api.error_responses import error_event, error_response, wire_error
from app.api.front import Front, fault_response, handle_gateway_error, handle_http_error, stopping_response
from app.api.layers import Layer, wrapped
from app.api.openapi.document import openapi_document
from app.api.services import Services
from app.configuration.configuration import Configuration
from app.configuration.current import CurrentConfiguration
from app.console.door import console_doors, show_root
from app.database.clock import Clock
from app.database.engine import create_engine
from app.database.gateway_secrets import SECRET_BYTES, secret
from app.database.migrate import upgrade
from app.errors import GatewayError
from app.exchange.hosting import Hosting
from app.exchange.in_flight import ExchangeBounds, Exchanges
from app.exchange.jobs.opening import open_jobs
from app.exchange.replay.opening import open_replays
from app.files.fetching import Fetcher
from app.files.opening import open_files, open_uploads
from app.files.upkeep import keep_up, look_first
from app.identity.keys.authentication import Authenticator
from app.quotas.ledger.ledger import Ledger
from app.quotas.ledger.liveness.heartbeat import Heartbeat
from app.quotas.ledger.liveness.sweep import expire_dead, sweep_for_ever
from app.quotas.ledger.spool.file import Spool
from app.quotas.refusals.counts import RefusalCounts
from app.quotas.refusals.keeper import RefusalKeeper
from app.server.http.bounds import Hooks
from app.settings.settings import Settings
from app.settings.values import Compatibility, ImageUrls
from app.telemetry.logs import count_dropped_lines
from app.telemetry.metrics import Metrics
from app.telemetry.recording import Recording, Records
from app.telemetry.sampling import Sampler
from app.telemetry.shared_counters import SharedCounters
from app.telemetry.traces import traces_of
from app.upstream.accounts.shared import Sharing
from app.upstream.network import Network
from app.upstream.zenmux import Upstream

logger = logging.getLogger("gateway")

_CLOSE_SECONDS = 10.0  # for what a forced stop leaves: settlements that are being written
_SENDING_CLOSE_SECONDS = 3.0  # for a webhook that is being sent; the next process sends the rest


class LifespanState(TypedDict):
    """What the lifespan gives to every request."""

    services: Services
    server_hooks: Hooks


def utc_now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - the one clock that is injected everywhere else


def _request_ids() -> Callable[[], str]:
    """Ids that are unique, not secret. A system call for each would make the thread switch."""
    bits = random.Random(secrets.token_bytes(32)).getrandbits  # noqa: S311 - unique is enough
    return lambda: f"req_{bits(128):032x}"


def create_app(
    configuration: Configuration,
    clock: Clock = utc_now,
    shared_counters: SharedCounters | None = None,
    instance: str | None = None,
    dead_instances: "asyncio.Queue[str] | None" = None,
) -> ASGIApp:
    """The gateway as an ASGI app. Makes nothing that must be closed; its lifespan opens and closes the rest.

    `shared_counters` are those of all workers, if it is one of several. `instance` names this process in the ledger.
    The reservations of every process that comes in `dead_instances` are closed at once.
    """
    settings = configuration.settings
    metrics = Metrics(app.__version__, settings.metrics_users_max, shared_counters)
    current = CurrentConfiguration(configuration, metrics)
    traces = traces_of(os.environ, app.__version__, settings.zenmux_base_url)
    refusals = RefusalCounts()
    records = Records(metrics, traces, lambda *place: refusals.count(clock(), *place))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[LifespanState]:
        async with AsyncExitStack() as stack:
            if traces is not None:
                traces.open()
                stack.push_async_callback(traces.close)
            services = await _open(current, records, clock, stack, instance or secrets.token_hex(8))
            keeper = RefusalKeeper(services.engine, refusals)
            stack.push_async_callback(keeper.close, services.exchanges.tasks.start(keeper.run(), "refusals"))
            if dead_instances is not None:
                closing = services.exchanges.tasks.start(expire_dead(services.ledger, dead_instances), "dead workers")
                stack.callback(closing.cancel)
            yield {"services": services, "server_hooks": _server_hooks(services)}

    gateway = FastAPI(
        title="zenmux-gateway",
        version=app.__version__,
        lifespan=lifespan,
        openapi_url=None,  # api/openapi/ describes more than the framework can see, and api/endpoints/docs.py shows it
        redirect_slashes=False,  # api/routes.py knows every way a path is written; a redirect would lose the POST
        # Our own metrics and log lines contain only what may be shown; the framework's would contain headers and paths.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    for door in (images, job_routes, models, usage, files, health):
        gateway.include_router(door.router)
    gateway.include_router(
        docs_router(lambda: current.policy, lambda policy: openapi_document(policy, app.__version__))
    )
    gateway.add_exception_handler(GatewayError, handle_gateway_error)
    gateway.add_exception_handler(HTTPException, handle_http_error)
    gateway.add_route("/", show_root, methods=["GET"], include_in_schema=False)
    front = Front(gateway, images.DIRECT, {PREFIXES: admin_door(), **console_doors(settings, clock)})
    return wrapped(front, _layers(settings, records))


def _layers(settings: Settings, records: Records) -> Iterator[Layer]:
    """What wraps every request, the outermost first: FastAPI's routes and the image routes beside it."""
    if settings.cors_origins:
        yield lambda inner: Cors(inner, settings.cors_origins)
    yield lambda inner: Recording(
        inner,
        records,
        new_request_id=_request_ids(),
        fault=fault_response,
        stopping=stopping_response,
        unauthenticated=Sampler(settings.log_unauthenticated_per_second),
    )


async def _open(
    current: CurrentConfiguration, records: Records, clock: Clock, stack: AsyncExitStack, instance: str
) -> Services:
    """Opens everything, in the order of dependence. `stack` closes it in the reverse order."""
    settings, metrics = current.settings, records.metrics
    count_dropped_lines(metrics.log_lines_dropped.inc)
    engine = create_engine(settings.database)
    stack.callback(engine.dispose)
    await asyncio.to_thread(upgrade, engine)
    hash_secret = await asyncio.to_thread(secret, engine, "configuration", secrets.token_bytes(SECRET_BYTES), clock())
    sender = _sender(engine, settings, clock, metrics)
    ledger = Ledger(
        engine,
        clock,
        instance=instance,
        queue_max=settings.ledger_queue_max,
        wait_seconds=settings.ledger_wait_seconds,
        watch=threshold_watch(settings, metrics, sender),
    )
    stack.push_async_callback(ledger.close)
    heartbeat = Heartbeat(engine, instance, settings.heartbeat_seconds, asyncio.get_running_loop().time)
    files, links = await open_files(engine, settings, clock, heartbeat, stack)
    await ledger.start(Spool(settings.spool_dir, instance, settings.spool_bytes_max), metrics.show_waiting, heartbeat)
    await look_first(files)
    if expired := await ledger.expire_orphans(clock()):
        logger.warning("reservations_expired_at_start", extra={"reservations": len(expired)})
    upstream = await _open_upstream(settings, clock, metrics, stack)
    exchanges = Exchanges(
        ledger=ledger,
        upstream=upstream,
        clock=clock,
        monotonic=asyncio.get_running_loop().time,
        bounds=_exchange_bounds(settings),
        error_event=error_event,
        error_response=lambda error: error_response(wire_error(error)),
        headers=((b"x-gateway-sandbox", b"true"),) if settings.sandbox else (),
        hosting=Hosting(files, links, settings.files_seconds),
        show_in_flight=metrics.in_flight.set,
    )
    stack.push_async_callback(exchanges.close, _CLOSE_SECONDS)
    sharing = Sharing(engine, upstream.accounts, instance, clock)
    await sharing.exchange()  # an account that an operator took out is not asked even once
    for name, running in (
        ("account states", sharing.run()),
        ("heartbeat", heartbeat.run()),
        ("sweep", sweep_for_ever(ledger, clock, settings.sweep_seconds)),
        ("files", keep_up(files, links, settings.sweep_seconds)),
    ):
        stack.callback(exchanges.tasks.start(running, name).cancel)
    stack.push_async_callback(sender.finish, exchanges.tasks.start(sender.run(), "webhooks"), _SENDING_CLOSE_SECONDS)
    replays = await open_replays(engine, exchanges, files, settings, instance, metrics.count_replay)
    authenticator = Authenticator(engine, clock, settings.key_cache_seconds, settings.key_cache_entries)
    current.start(hash_secret, clock().timestamp(), partial(_hand_on, upstream, ledger, sender, metrics))
    return Services(
        configuration=current,
        clock=clock,
        engine=engine,
        authenticator=authenticator,
        ledger=ledger,
        exchanges=exchanges,
        uploads=await open_uploads(settings, stack),  # before the jobs: it is there until the last of them has ended
        files=files,
        links=links,
        replays=replays,
        submissions=open_jobs(engine, replays, settings, records, stack),
        edit_bounds=_edit_bounds(settings),
        new_boundary=lambda: f"zenmux-gateway-{secrets.token_hex(16)}",
        metrics=metrics,
        administration=open_administration(settings.database, clock, stack, authenticator.forget, metrics.time_query),
    )


async def _open_upstream(settings: Settings, clock: Clock, metrics: Metrics, stack: AsyncExitStack) -> Upstream:
    upstream = Upstream(settings, clock)
    upstream.accounts.watch = account_watch(metrics)
    await upstream.open()
    stack.push_async_callback(upstream.aclose)
    return upstream


def _exchange_bounds(settings: Settings) -> ExchangeBounds:
    return ExchangeBounds(
        exchange_seconds_max=settings.exchange_seconds_max,
        reservation_seconds=settings.reservation_seconds,
        client_stall_seconds=settings.client_stall_seconds,
        keepalive_seconds=settings.keepalive_seconds,
        early_head_seconds=settings.early_head_seconds,
        requests_in_flight_max=settings.capacity.requests_in_flight_max,
        user_in_flight_percent=settings.user_in_flight_percent,
        abandoned_exchanges_max=settings.abandoned_exchanges_max,
        usage_holds_max=settings.usage_holds_max,
    )


def _edit_bounds(settings: Settings) -> EditBounds:
    network, urls = Network(settings), settings.image_urls
    return EditBounds(
        settings.upload_bytes_max,
        settings.body_bytes_max,
        lenient=settings.compatibility is Compatibility.LENIENT,
        forwards_urls=urls is ImageUrls.FORWARD,
        fetcher=Fetcher(settings.image_url_hosts, lambda: network.tls) if urls is ImageUrls.FETCH else None,
    )


def _server_hooks(services: Services) -> Hooks:
    return Hooks(
        answer=lambda error: error_response(wire_error(error)),
        count=services.metrics.count_connection_fault,
        show_open=services.metrics.connections.set,
        drain=services.drain,
        use=services.configuration.use,
        offer_reload=services.configuration.take_reload,
    )


def _sender(engine: Engine, settings: Settings, clock: Clock, metrics: Metrics) -> Sender:
    network = Network(settings)
    return Sender(
        engine,
        webhook_of(settings),
        clock,
        random.random,
        lambda result: metrics.webhooks.labels(result).inc(),
        lambda url: network.client(httpx2.URL(url)),
    )


def _hand_on(upstream: Upstream, ledger: Ledger, sender: Sender, metrics: Metrics, settings: Settings) -> None:
    """Gives the settings of a reload to the parts that keep some. What can fail comes first."""
    upstream.replace_accounts(settings.accounts, settings.account_order)
    sender.use(webhook_of(settings))
    ledger.use_thresholds(threshold_watch(settings, metrics, sender))
