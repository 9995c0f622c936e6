"""How an exchange ends: from what was observed to the outcome and the charge. Pure; rule 5 of the ledger as code.

The first that holds decides:
1. believable usage was reported: charge it, whatever else went wrong
2. proof that nothing was billed: a refusal of what was sent counts as one request, anything else is released
3. anything else that was sent may be billed: charge the estimate, and mark it as one
"""

from dataclasses import dataclass
from typing import NamedTuple

from app.errors import UpstreamAccountFault, UpstreamError, UpstreamUnreachable
from app.images.cost.pricing import Estimate, bounded_estimate, price
from app.images.cost.usage import AnswerSummary, Usage
from app.images.request.normalize import ImageRequest
from app.quotas.rules.reservation import Amounts, State, UsageSource
from app.telemetry.event import Outcome, RequestEvent


@dataclass(slots=True)
class Facts:
    """What an exchange observed. Filled as it happens."""

    dispatched: bool = False
    summary: AnswerSummary | None = None
    error: UpstreamError | None = None
    client_left: bool = False
    interrupted: bool = False

    @property
    def complete(self) -> bool:
        """Whether the whole answer came, with an image and without a failure."""
        return self.summary is not None and self.summary.delivers


class Conclusion(NamedTuple):
    """What follows from the facts. `priced` is False if the catalog has no price for the model. `implausible` is
    reported usage that was too high to be believed.
    """

    outcome: Outcome
    state: State
    usage_source: UsageSource
    charged: Amounts
    usage: Usage | None
    priced: bool
    implausible: Usage | None = None


def conclude(facts: Facts, request: ImageRequest, estimate: Estimate, usage_holds_max: int) -> Conclusion:
    """The one ending that the facts allow. Reported usage above `usage_holds_max` holds is not charged. Never
    raises.
    """
    outcome = _outcome(facts)
    summary = facts.summary
    usage = None if summary is None else summary.usage
    if summary is not None and usage is not None:
        charged, priced = _reported(usage, summary, request, estimate)
        if _is_believable(charged, estimate, usage_holds_max):
            return Conclusion(outcome, State.SETTLED, UsageSource.REPORTED, charged, usage, priced)
    elif not facts.dispatched or (facts.error is not None and facts.error.billed is False):
        if outcome is Outcome.UPSTREAM_REFUSED and not isinstance(facts.error, UpstreamAccountFault):
            # ZenMux counts every refusal against the rate of the one account that all callers share.
            return Conclusion(outcome, State.SETTLED, UsageSource.NONE, Amounts(requests=1), None, estimate.priced)
        return Conclusion(outcome, State.RELEASED, UsageSource.NONE, Amounts(), None, estimate.priced)
    if summary is not None and summary.delivers:
        estimate = bounded_estimate(request, estimate, summary.size, summary.quality)
    held = Amounts(1, estimate.images, estimate.tokens, estimate.nanousd)
    return Conclusion(outcome, State.SETTLED, UsageSource.ESTIMATED, held, estimate.usage, estimate.priced, usage)


def _outcome(facts: Facts) -> Outcome:
    if facts.interrupted:  # the caller was told so, even if the answer was read to its end afterwards
        return Outcome.INTERRUPTED
    if facts.complete:
        return Outcome.CLIENT_LEFT if facts.client_left else Outcome.COMPLETED
    if facts.error is not None:
        # Marked as dispatched, but then not sent: the connection may still turn out to be unreachable.
        sent = facts.dispatched and not isinstance(facts.error, UpstreamUnreachable)
        refused = sent and facts.error.billed is False
        return Outcome.UPSTREAM_REFUSED if refused else Outcome.UPSTREAM_FAILED
    if facts.client_left:
        return Outcome.CLIENT_LEFT
    return Outcome.FAULT if facts.dispatched else Outcome.UNAVAILABLE


def _reported(usage: Usage, summary: AnswerSummary, request: ImageRequest, estimate: Estimate) -> tuple[Amounts, bool]:
    """What was reported, as amounts, and whether it has a price.

    A cut answer may report usage of images that never came: the requested images are counted. For a whole answer
    without an image none is counted; but if images have a price each, they are charged.
    """
    images = summary.image_count if summary.complete else max(summary.image_count, request.n)
    nanousd = price(usage, images if summary.delivers else max(images, request.n), request.model)
    charged = Amounts(1, images, usage.total_tokens, estimate.nanousd if nanousd is None else nanousd)
    return charged, nanousd is not None


def _is_believable(charged: Amounts, estimate: Estimate, usage_holds_max: int) -> bool:
    return (
        charged.images <= usage_holds_max * estimate.images
        and charged.tokens <= usage_holds_max * estimate.tokens
        and charged.nanousd <= usage_holds_max * estimate.nanousd
    )


def note_conclusion(event: RequestEvent, conclusion: Conclusion) -> None:
    """What the request's record says of its end."""
    event.outcome, event.state = conclusion.outcome, conclusion.state.value
    event.usage_source, event.usage = conclusion.usage_source.value, conclusion.usage
    event.images, event.cost_nanousd = conclusion.charged.images, conclusion.charged.nanousd
    event.unpriced = not conclusion.priced and conclusion.usage_source is not UsageSource.NONE
    event.usage_implausible = conclusion.implausible
