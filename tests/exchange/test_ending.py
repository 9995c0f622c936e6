"""How exchanges end, as a table: from what was seen to the outcome and the charge."""

from dataclasses import dataclass

import pytest

from app.errors import UpstreamAccountFault, UpstreamBroken, UpstreamError, UpstreamRefused, UpstreamUnreachable
from app.exchange.ending import Facts, conclude
from app.images.catalog.catalog import load_catalog
from app.images.cost.pricing import estimate
from app.images.cost.usage import AnswerSummary, Failure, Usage
from app.images.request.normalize import RequestPolicy, normalize
from app.quotas.rules.reservation import Amounts, State, UsageSource
from app.telemetry.event import Outcome
from tests.days import TODAY

POLICY = RequestPolicy(
    catalog=load_catalog(),
    lenient=True,
    default_model=None,
    successor_model="gpt-image-2",
    unknown_model_hold_nanousd=None,
)
REQUEST = normalize(
    {"model": "gpt-image-2", "prompt": "a house", "n": 2, "size": "1024x1024", "quality": "low"}, POLICY, TODAY
)
ESTIMATE = estimate(REQUEST)
USAGE = Usage(input_text_tokens=10, output_image_tokens=392)
WHOLE = AnswerSummary(complete=True, image_count=2, usage=USAGE)
WITHOUT_USAGE = AnswerSummary(complete=True, image_count=2, usage=None)
CUT = AnswerSummary(complete=False, image_count=0, usage=None)
CUT_AFTER_USAGE = AnswerSummary(complete=False, image_count=1, usage=USAGE)
HOLLOW = AnswerSummary(complete=True, image_count=0, usage=USAGE)
HOLLOW_WITHOUT_USAGE = AnswerSummary(complete=True, image_count=0, usage=None)
ABSURD = AnswerSummary(complete=True, image_count=2, usage=Usage(output_image_tokens=10**12))
FAILED = AnswerSummary(complete=True, image_count=0, usage=None, failure=Failure("no"))
BROKEN = UpstreamBroken("m", "dropped")
REFUSED = UpstreamRefused("m", "moderation", billed=False)
FAILED_500 = UpstreamRefused("m", "server", status=500)
ACCOUNT = UpstreamAccountFault("m", "account_credit")
UNREACHABLE = UpstreamUnreachable("m", "connect")

REPORTED = Amounts(1, 2, 402, 10 * 5_000 + 392 * 30_000)
ESTIMATED = Amounts(1, ESTIMATE.images, ESTIMATE.tokens, ESTIMATE.nanousd)
NOTHING = Amounts()
ONE_REQUEST = Amounts(requests=1)


@dataclass
class Row:
    name: str
    facts: Facts
    outcome: Outcome
    state: State
    source: UsageSource
    charged: Amounts


def seen(summary: AnswerSummary | None = None, error: UpstreamError | None = None, **flags: bool) -> Facts:
    return Facts(dispatched=flags.pop("dispatched", True), summary=summary, error=error, **flags)


SETTLED, RELEASED = State.SETTLED, State.RELEASED
TABLE = [
    Row("whole", seen(WHOLE), Outcome.COMPLETED, SETTLED, UsageSource.REPORTED, REPORTED),
    Row("client left", seen(WHOLE, client_left=True), Outcome.CLIENT_LEFT, SETTLED, UsageSource.REPORTED, REPORTED),
    Row("no usage", seen(WITHOUT_USAGE), Outcome.COMPLETED, SETTLED, UsageSource.ESTIMATED, ESTIMATED),
    Row("cut", seen(CUT, BROKEN), Outcome.UPSTREAM_FAILED, SETTLED, UsageSource.ESTIMATED, ESTIMATED),
    Row("cut late", seen(CUT_AFTER_USAGE, BROKEN), Outcome.UPSTREAM_FAILED, SETTLED, UsageSource.REPORTED, REPORTED),
    Row("failure told", seen(FAILED, BROKEN), Outcome.UPSTREAM_FAILED, SETTLED, UsageSource.ESTIMATED, ESTIMATED),
    Row(
        "failure told, with usage",
        seen(FAILED._replace(usage=USAGE), BROKEN),
        Outcome.UPSTREAM_FAILED,
        SETTLED,
        UsageSource.REPORTED,
        REPORTED._replace(images=0),
    ),
    Row(
        "no image",
        seen(HOLLOW, BROKEN),
        Outcome.UPSTREAM_FAILED,
        SETTLED,
        UsageSource.REPORTED,
        REPORTED._replace(images=0),
    ),
    Row(
        "no image, no usage",
        seen(HOLLOW_WITHOUT_USAGE, BROKEN),
        Outcome.UPSTREAM_FAILED,
        SETTLED,
        UsageSource.ESTIMATED,
        ESTIMATED,
    ),
    Row("absurd usage", seen(ABSURD), Outcome.COMPLETED, SETTLED, UsageSource.ESTIMATED, ESTIMATED),
    Row("no answer", seen(None, BROKEN), Outcome.UPSTREAM_FAILED, SETTLED, UsageSource.ESTIMATED, ESTIMATED),
    Row("error 500", seen(None, FAILED_500), Outcome.UPSTREAM_FAILED, SETTLED, UsageSource.ESTIMATED, ESTIMATED),
    Row("refused", seen(None, REFUSED), Outcome.UPSTREAM_REFUSED, SETTLED, UsageSource.NONE, ONE_REQUEST),
    Row(
        "refused, client left",
        seen(None, REFUSED, client_left=True),
        Outcome.UPSTREAM_REFUSED,
        SETTLED,
        UsageSource.NONE,
        ONE_REQUEST,
    ),
    Row("account refused", seen(None, ACCOUNT), Outcome.UPSTREAM_REFUSED, RELEASED, UsageSource.NONE, NOTHING),
    Row(
        "unreachable",
        seen(None, UNREACHABLE, dispatched=False),
        Outcome.UPSTREAM_FAILED,
        RELEASED,
        UsageSource.NONE,
        NOTHING,
    ),
    Row("lost before sending", seen(None, UNREACHABLE), Outcome.UPSTREAM_FAILED, RELEASED, UsageSource.NONE, NOTHING),
    Row(
        "left before sending",
        seen(client_left=True, dispatched=False),
        Outcome.CLIENT_LEFT,
        RELEASED,
        UsageSource.NONE,
        NOTHING,
    ),
    Row(
        "left, not read on", seen(CUT, client_left=True), Outcome.CLIENT_LEFT, SETTLED, UsageSource.ESTIMATED, ESTIMATED
    ),
    Row("stopped", seen(CUT, interrupted=True), Outcome.INTERRUPTED, SETTLED, UsageSource.ESTIMATED, ESTIMATED),
    Row(
        "stopped before sending",
        seen(interrupted=True, dispatched=False),
        Outcome.INTERRUPTED,
        RELEASED,
        UsageSource.NONE,
        NOTHING,
    ),
    Row("store failed", seen(dispatched=False), Outcome.UNAVAILABLE, RELEASED, UsageSource.NONE, NOTHING),
    Row("a bug of ours", seen(None), Outcome.FAULT, SETTLED, UsageSource.ESTIMATED, ESTIMATED),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_an_ending(row: Row) -> None:
    conclusion = conclude(row.facts, REQUEST, ESTIMATE, 20)
    assert (conclusion.outcome, conclusion.state, conclusion.usage_source) == (row.outcome, row.state, row.source)
    assert conclusion.charged == row.charged


def test_a_model_without_a_price_is_charged_its_hold_and_marked() -> None:
    policy = RequestPolicy(
        catalog=load_catalog(),
        lenient=True,
        default_model=None,
        successor_model="gpt-image-2",
        unknown_model_hold_nanousd=250_000_000,
    )
    request = normalize({"model": "acme/new-model", "prompt": "a house", "n": 2}, policy, TODAY)
    conclusion = conclude(Facts(dispatched=True, summary=WHOLE), request, estimate(request), 20)
    assert conclusion.charged.nanousd == 500_000_000
    assert conclusion.priced is False


def test_absurd_usage_is_told_apart_and_nothing_above_so_many_holds_is_charged() -> None:
    assert conclude(seen(ABSURD), REQUEST, ESTIMATE, 20).implausible == ABSURD.usage
    assert conclude(seen(WHOLE), REQUEST, ESTIMATE, 20).implausible is None
    for tokens in (ESTIMATE.tokens * 20, ESTIMATE.tokens * 20 + 1):
        usage = Usage(input_text_tokens=tokens)
        conclusion = conclude(seen(WHOLE._replace(usage=usage)), REQUEST, ESTIMATE, 20)
        assert (conclusion.implausible is None) == (tokens <= ESTIMATE.tokens * 20)
    many = WHOLE._replace(image_count=41)
    assert conclude(seen(many), REQUEST, ESTIMATE, 20).usage_source is UsageSource.ESTIMATED


def test_without_usage_the_answers_own_size_and_quality_bound_the_estimate() -> None:
    request = normalize({"model": "gpt-image-2", "prompt": "a house"}, POLICY, TODAY)
    worst = estimate(request)
    named = WITHOUT_USAGE._replace(image_count=1, size="1024x1024", quality="low")
    charged = conclude(seen(named), request, worst, 20).charged
    fixed = normalize(
        {"model": "gpt-image-2", "prompt": "a house", "size": "1024x1024", "quality": "low"}, POLICY, TODAY
    )
    assert charged.nanousd == estimate(fixed).nanousd < worst.nanousd
    for size, quality in (("999999x999999", "low"), ("1024x1024", "unheard-of"), ("wide", None), (None, None)):
        odd = named._replace(size=size, quality=quality)
        assert conclude(seen(odd), request, worst, 20).charged.nanousd <= worst.nanousd
    cut = named._replace(complete=False)
    assert conclude(seen(cut, BROKEN), request, worst, 20).charged.nanousd == worst.nanousd
