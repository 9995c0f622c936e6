"""What becomes of crossed thresholds, corrections and accounts that rest: log lines and metrics, and the webhook's
sender is woken.
"""

import logging
from collections.abc import Sequence

from app.alerts.sender import Sender
from app.quotas.rules.reservation import Corrected
from app.quotas.rules.thresholds import NamedThresholdEvent, Watch, describe_threshold_event
from app.settings.settings import Settings
from app.telemetry.metrics import Metrics
from app.upstream.accounts.accounts import AccountWatch
from app.upstream.accounts.states import AccountState, Availability

logger = logging.getLogger("gateway")


def threshold_watch(settings: Settings, metrics: Metrics, sender: Sender) -> Watch:
    """The ledger's watch. Without an address no event waits for a webhook."""
    return Watch(
        settings.thresholds_percent,
        webhook=settings.webhook_url is not None,
        announce=lambda crossed: _announce(crossed, metrics, sender),
        corrected=lambda corrected: _count_corrections(corrected, metrics),
    )


def account_watch(metrics: Metrics) -> AccountWatch:
    """Logs and counts what becomes of the ZenMux accounts. `seconds` is how long until the next request may try."""

    def changed(name: str, state: AccountState, seconds: float | None) -> None:
        if state.kind is Availability.UP:
            logger.info("account_up", extra={"account": name})
            return
        why = state.why.value if state.why else ""
        metrics.account_rests.labels(name, why).inc()
        shown = {} if seconds is None else {"seconds": round(seconds, 1)}
        logger.warning(f"account_{state.kind}", extra={"account": name, "why": why, **shown})

    return changed


def _announce(crossed: Sequence[NamedThresholdEvent], metrics: Metrics, sender: Sender) -> None:
    """Tells, once, that limits have been used up to a percentage."""
    for named_event in crossed:
        event = named_event.threshold_event
        logger.info("threshold_crossed", extra=describe_threshold_event(named_event))
        shadow = str(event.shadow).lower()
        metrics.threshold_events.labels(event.scope, event.unit, event.window, str(event.percent), shadow).inc()
    sender.wake()


def _count_corrections(corrected: Sequence[Corrected], metrics: Metrics) -> None:
    for each in corrected:
        metrics.count_correction(each.delta.nanousd, each.passed)
