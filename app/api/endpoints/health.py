"""/healthz, /readyz and /metrics: for load balancers, container engines and Prometheus."""

import hmac
from contextlib import suppress

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from sqlalchemy import text

from app.api.services import Services, services_of
from app.database.engine import reading
from app.errors import AuthenticationFailed, StoreUnavailable
from app.quotas.reports.overview import read_overview
from app.quotas.reports.reconciliations import LastCheck
from app.telemetry.metrics import OTHER
from app.upstream.accounts.states import Availability

router = APIRouter()

_EXPOSITION_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_OPEN_METRICS = "application/openmetrics-text"
_PROBE_SECONDS_MAX = 5.0


@router.head("/healthz")
@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process runs."""
    return {"status": "ok"}


@router.head("/readyz")
@router.get("/readyz")
async def readyz(request: Request) -> Response:
    """It can sell: the database takes writes, ZenMux is configured, it is not stopping. 503 names what is not so.

    An unreachable ZenMux is named and leaves it ready: only a request that connects can show that it is back, and a
    load balancer would send none. Requests are answered 502 meanwhile, and nothing is charged.
    """
    services = services_of(request)
    checks = {
        "database": await _database(services),
        "upstream": _upstream(services),
        "accounts": _accounts(services),
        "draining": "yes" if services.draining else "no",
    }
    ready = checks["database"] == "ok" and checks["upstream"] != "not configured" and not services.draining
    return JSONResponse({"status": "ready" if ready else "not ready", **checks}, 200 if ready else 503)


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """Prometheus' text format; behind GATEWAY_METRICS_KEY where one is set."""
    services = services_of(request)
    key = services.settings.metrics_key
    if key is not None:
        presented = request.headers.get("authorization", "").encode()
        if not hmac.compare_digest(presented, b"Bearer " + key.get_secret_value().encode()):
            raise AuthenticationFailed("Metrics need the key of GATEWAY_METRICS_KEY as a Bearer token.")
    await _refresh_gauges(services)
    if _OPEN_METRICS in request.headers.get("accept", ""):
        text_with_traces = services.metrics.exposition_with_traces()
        if text_with_traces is not None:
            return Response(
                text_with_traces, headers={"content-type": f"{_OPEN_METRICS}; version=1.0.0; charset=utf-8"}
            )
    return Response(services.metrics.exposition(), media_type=_EXPOSITION_TYPE)


async def _database(services: Services) -> str:
    def ask() -> None:
        with reading(services.engine) as connection:
            connection.execute(text("SELECT 1"))

    try:
        await services.probes.run(ask, _PROBE_SECONDS_MAX)
    except StoreUnavailable:
        return "does not answer"
    try:
        await services.ledger.readiness.check(_PROBE_SECONDS_MAX)
    except StoreUnavailable:
        return "cannot be written"
    return "ok"


def _upstream(services: Services) -> str:
    since = services.exchanges.upstream.unreachable_since
    if since is not None:
        return f"unreachable since {since:%Y-%m-%dT%H:%M:%SZ}"
    if services.settings.sandbox:
        return "sandbox: images are drawn here, nothing is bought"
    return "ok" if services.settings.accounts else "not configured"


def _accounts(services: Services) -> str:
    """How many accounts are up, and why others are not."""
    accounts = services.exchanges.upstream.accounts
    states = [(account.name, accounts.state_of(account)) for account in accounts.all]
    away = [f"{name} {state.kind}, {state.why}" for name, state in states if state.kind is not Availability.UP]
    listed = f" ({'; '.join(away)})" if away else ""
    return f"{len(states) - len(away)} of {len(states)} up{listed}"


async def _refresh_gauges(services: Services) -> None:
    """Sets the gauges of the accounts, and those that come from the database. While it is away, they keep their last
    values.
    """
    accounts = services.exchanges.upstream.accounts
    services.metrics.account_up.clear()
    for account in accounts.all:
        services.metrics.account_up.labels(account.name).set(accounts.state_of(account).kind is Availability.UP)
    try:
        overview = await services.probes.run(
            lambda: read_overview(services.engine, services.clock()), _PROBE_SECONDS_MAX
        )
    except StoreUnavailable:
        return
    services.metrics.reservations_pending.set(overview.pending)
    with suppress(StoreUnavailable):
        services.metrics.files_bytes.set(await services.files.total_bytes())
    if overview.last_check is not None:
        _show_last_check(services, overview.last_check)
    services.metrics.quota_used_ratio.clear()
    for named in overview.limits:
        limit = named.status.limit
        spec = services.policy.catalog.find(limit.model) if limit.model else None
        model = spec.name if spec else limit.model or "all"
        shadow = str(limit.shadow).lower()
        labels = (limit.scope.value, named.name, limit.unit.value, limit.window.value, model, shadow)
        services.metrics.quota_used_ratio.labels(*labels).set(named.status.used / limit.amount if limit.amount else 1.0)


def _show_last_check(services: Services, check: LastCheck) -> None:
    drift_nanousd: dict[tuple[str, str], int] = {}
    for (model, account), nanousd in check.drift_nanousd.items():
        spec = services.policy.catalog.find(model)
        labels = (OTHER if spec is None else spec.name, account or "all")
        drift_nanousd[labels] = drift_nanousd.get(labels, 0) + nanousd
    services.metrics.reconciliation_day.set(check.day_start.timestamp())
    services.metrics.reconciliation_drift_usd.clear()
    for labels, nanousd in drift_nanousd.items():
        services.metrics.reconciliation_drift_usd.labels(*labels).set(nanousd / 1e9)
