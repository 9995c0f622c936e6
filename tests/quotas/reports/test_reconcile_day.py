"""One day of the ledger against a bill: by model, with estimates, pruned days and midnight; on both engines."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, insert, select

from app.database.clock import to_ms
from app.database.engine import reading, writing
from app.database.schema import total_tables
from app.database.schema.total_tables import TOTAL_WORDS
from app.images.catalog.catalog import load_catalog
from app.quotas.ledger.ledger import Ledger
from app.quotas.reports.reconcile_day import (
    DayComparison,
    ModelDay,
    Tally,
    Verdict,
    compare_day,
)
from app.quotas.reports.reconciliations import LastCheck, keep, last_check
from app.quotas.rules.reservation import Amounts, UsageSource
from tests.quotas.making import MODEL, StillClock, a_hold, refused, released, running_ledger, settled, sweep

DAY = date(2026, 11, 24)
START = datetime(2026, 11, 24, tzinfo=UTC)
END = START + timedelta(days=1)
NOON = START + timedelta(hours=12)
OTHER_MODEL = "openai/gpt-image-1.5"
SETTLED, HELD = 80_000_000, 100_000_000

CATALOG = load_catalog()


def name_of(name: str) -> str | None:
    spec = CATALOG.find(name)
    return spec.id if spec else None


def compared(engine: Engine, *billed: tuple[str, int, int]) -> DayComparison:
    with reading(engine) as connection:
        return compare_day(connection, DAY, [(model, Tally(*tally)) for model, *tally in billed], name_of)


async def bought(ledger: Ledger, id_: str, at: datetime, ended: datetime | None = None, **fields: Any) -> None:
    """One request, settled as reported unless `fields` say otherwise."""
    model = fields.pop("model", MODEL)
    settlement = fields.pop("settlement", None) or settled(ended or at, **fields)
    await ledger.reserve(a_hold(id_, at=at, model=model))
    await ledger.mark_dispatched(id_, at)
    await ledger.resolve(id_, settlement)


def estimated(at: datetime) -> Any:
    return settled(at, usage_source=UsageSource.ESTIMATED, charged=Amounts(1, 1, 1000, HELD), upstream_request_id=None)


async def test_a_day_that_equals_its_bill(engine: Engine) -> None:
    async with running_ledger(engine) as ledger:
        await bought(ledger, "first", START)
        await bought(ledger, "last", END - timedelta(milliseconds=1))
        await bought(ledger, "other", NOON, model=OTHER_MODEL)
        await bought(ledger, "free", NOON, settlement=released(NOON))
        await bought(ledger, "refused", NOON, settlement=refused(NOON))
        await bought(ledger, "day before", START - timedelta(milliseconds=1), nanousd=1)
        await bought(ledger, "day after", END, nanousd=2)
    found = compared(engine, ("gpt-image-1.5", 1, SETTLED), (MODEL, 2, 2 * SETTLED))
    assert list(found.models) == [OTHER_MODEL, MODEL]
    assert found.models[MODEL].ledger == found.models[MODEL].billed == Tally(2, 2 * SETTLED)
    assert (found.total.ledger, found.total.drift) == (Tally(3, 3 * SETTLED), Tally())
    assert (found.verdict, found.explained) == (Verdict.EQUAL, True)


@pytest.mark.parametrize(
    ("billed", "verdict"),
    [
        ((2, 2 * SETTLED), Verdict.EQUAL),
        ((2, 2 * SETTLED + 500), Verdict.EQUAL),  # a bill rounded to six decimals
        ((2, 2 * SETTLED - 500), Verdict.EQUAL),
        ((2, 2 * SETTLED + 501), Verdict.DRIFT),
        ((2, 2 * SETTLED - 501), Verdict.DRIFT),
        ((1, 2 * SETTLED), Verdict.DRIFT),
        ((3, 2 * SETTLED), Verdict.DRIFT),
        ((1, SETTLED), Verdict.DRIFT),
        ((3, 3 * SETTLED), Verdict.DRIFT),
        ((0, 0), Verdict.DRIFT),
    ],
)
async def test_reported_charges_explain_no_drift(engine: Engine, billed: tuple[int, int], verdict: Verdict) -> None:
    async with running_ledger(engine) as ledger:
        await bought(ledger, "one", NOON)
        await bought(ledger, "two", NOON)
    assert compared(engine, (MODEL, *billed)).verdict is verdict


@pytest.mark.parametrize(
    ("billed", "verdict"),
    [
        ((2, SETTLED + HELD), Verdict.EQUAL),
        ((2, SETTLED + HELD - 30), Verdict.EQUAL),
        ((2, SETTLED + 1_000_000), Verdict.ESTIMATED),
        ((1, SETTLED), Verdict.ESTIMATED),
        ((1, SETTLED - 1000), Verdict.DRIFT),
        ((0, SETTLED), Verdict.DRIFT),
        ((2, SETTLED + HELD + 1000), Verdict.DRIFT),
    ],
)
async def test_an_estimate_explains_as_much_as_it_charged(
    engine: Engine, billed: tuple[int, int], verdict: Verdict
) -> None:
    async with running_ledger(engine) as ledger:
        await bought(ledger, "told", NOON)
        await bought(ledger, "guessed", NOON, settlement=estimated(NOON))
    found = compared(engine, (MODEL, *billed))
    assert found.verdict is verdict
    assert found.explained is (verdict in (Verdict.EQUAL, Verdict.ESTIMATED))
    assert found.models[MODEL].estimated == found.models[MODEL].doubtful == Tally(1, HELD)


async def test_what_dead_processes_left_is_an_estimate_and_shown_as_such(engine: Engine) -> None:
    clock = StillClock(NOON)
    async with running_ledger(engine, clock) as ledger:
        for id_ in ("sent", "unsent"):
            await ledger.reserve(a_hold(id_, at=NOON))
        await ledger.mark_dispatched("sent", NOON)
        await sweep(engine, clock.forward(hours=2))
    found = compared(engine).models[MODEL]
    assert found.ledger == found.estimated == found.expired == Tally(1, HELD)
    assert found.verdict is Verdict.ESTIMATED


async def test_unpriced_charges_are_shown_apart_and_explain_money_only(engine: Engine) -> None:
    async with running_ledger(engine) as ledger:
        await bought(ledger, "one", NOON, priced=False)
    found = compared(engine, (MODEL, 1, 0)).models[MODEL]
    assert (found.unpriced, found.estimated, found.doubtful) == (Tally(1, SETTLED), Tally(), Tally(1, SETTLED))
    assert found.verdict is Verdict.ESTIMATED
    assert compared(engine, (MODEL, 0, 0)).verdict is Verdict.DRIFT


async def test_one_model_does_not_make_up_for_another(engine: Engine) -> None:
    async with running_ledger(engine) as ledger:
        await bought(ledger, "one", NOON)
        await bought(ledger, "other", NOON, model=OTHER_MODEL, settlement=estimated(NOON))
    found = compared(engine, (MODEL, 1, HELD), (OTHER_MODEL, 1, SETTLED))
    assert found.total.drift == Tally(0, 0)
    assert (found.models[MODEL].verdict, found.models[OTHER_MODEL].verdict) == (Verdict.DRIFT, Verdict.ESTIMATED)
    assert (found.verdict, found.explained) == (Verdict.DRIFT, False)


async def test_what_crossed_midnight_is_shown_and_may_be_a_question_of_when(engine: Engine) -> None:
    minute = timedelta(minutes=1)
    async with running_ledger(engine, StillClock(START)) as ledger:
        await bought(ledger, "into", START - minute, START + minute, nanousd=1_000_000)
        await bought(ledger, "within", NOON)
        await bought(ledger, "out of", END - minute, END + minute, nanousd=3_000_000)
        await bought(ledger, "before", START - 2 * minute, START - minute, nanousd=5)
    by_start = compared(engine, (MODEL, 2, SETTLED + 3_000_000))
    found = by_start.models[MODEL]
    assert (found.began_before, found.ended_after) == (Tally(1, 1_000_000), Tally(1, 3_000_000))
    assert by_start.verdict is Verdict.EQUAL
    by_end = compared(engine, (MODEL, 2, SETTLED + 1_000_000))
    assert (by_end.verdict, by_end.explained) == (Verdict.TIMING, False)
    assert compared(engine, (MODEL, 2, SETTLED - 1_000_000)).verdict is Verdict.DRIFT
    assert compared(engine, (MODEL, 4, SETTLED + 4_000_000)).verdict is Verdict.DRIFT


async def test_what_is_still_open_may_be_on_the_bill(engine: Engine) -> None:
    async with running_ledger(engine) as ledger:
        await ledger.reserve(a_hold("open", at=NOON))
        found = compared(engine, (MODEL, 1, SETTLED)).models[MODEL]
    assert (found.ledger, found.pending) == (Tally(), Tally(1, HELD))
    assert found.verdict is Verdict.TIMING


async def test_models_of_others_are_told_apart(engine: Engine) -> None:
    async with running_ledger(engine) as ledger:
        await bought(ledger, "one", NOON, model="maker/unlisted")
    found = compared(engine, ("maker/unlisted", 1, SETTLED), ("maker/chat", 7, 5), ("maker/chat", 1, 5))
    assert found.elsewhere == {"maker/chat": Tally(8, 10)}
    assert (list(found.models), found.verdict) == (["maker/unlisted"], Verdict.EQUAL)
    # A listed model that the gateway did not sell that day is its business: somebody else has a key.
    leaked = compared(engine, ("maker/unlisted", 1, SETTLED), ("gpt-image-2", 1, 5))
    assert (leaked.elsewhere, leaked.models[MODEL].verdict) == ({}, Verdict.DRIFT)


def pruned(day: date, **sums: int) -> dict[str, Any]:
    names = [
        *("requests", "released", "refused", "estimated", "unpriced"),
        *(f"charged_{unit}" for unit in ("requests", "images", "tokens", "nanousd")),
        *(f"{kind}_tokens" for kind in ("input_text", "input_image", "output_text", "output_image")),
    ]
    start_ms = to_ms(datetime(day.year, day.month, day.day, tzinfo=UTC))
    owner = dict.fromkeys(TOTAL_WORDS, "") | {"key_id": "key-1", "user_id": "user-1", "model": MODEL, "account": "main"}
    return {"day_start_ms": start_ms, **owner, **dict.fromkeys(names, 0), **sums}


async def test_pruned_days_are_compared_by_their_totals(engine: Engine) -> None:
    async with running_ledger(engine) as ledger:
        await bought(ledger, "left", NOON)  # one that was pending when the others were pruned
    sure = pruned(DAY, requests=8, released=1, refused=3, charged_requests=7, charged_nanousd=400)
    unsure = pruned(DAY, requests=2, estimated=1, unpriced=1, charged_requests=2, charged_nanousd=70_000)
    with writing(engine) as connection:
        until_ms = to_ms(datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC) + timedelta(days=1))
        connection.execute(insert(total_tables.pruning).values(id=1, until_ms=until_ms))
        connection.execute(
            insert(total_tables.usage_days),
            [
                sure,
                unsure | {"key_id": "key-2"},
                pruned(DAY - timedelta(days=1), charged_requests=9, charged_nanousd=9),
                pruned(DAY + timedelta(days=1), charged_requests=9, charged_nanousd=9),
            ],
        )
    found = compared(engine, (MODEL, 7, SETTLED + 70_400)).models[MODEL]
    assert found.pruned
    assert found.ledger == Tally(7, SETTLED + 70_400)
    assert (found.estimated, found.unpriced) == (Tally(1, 0), Tally(1, 0))
    assert found.verdict is Verdict.EQUAL
    assert compared(engine, (MODEL, 6, SETTLED + 400)).verdict is Verdict.ESTIMATED
    assert compared(engine, (MODEL, 6, SETTLED - 1000)).verdict is Verdict.DRIFT
    assert compared(engine, (MODEL, 5, SETTLED + 400)).verdict is Verdict.DRIFT


def stored(engine: Engine) -> set[tuple[Any, ...]]:
    with reading(engine) as connection:
        return {tuple(row) for row in connection.execute(select(total_tables.reconciliations))}


def kept(
    engine: Engine, day: date, models: Iterable[tuple[str, int, int]], now: datetime = NOON, account: str = ""
) -> None:
    days = {name: ModelDay(ledger=Tally(1, ours), billed=Tally(2, theirs)) for name, ours, theirs in models}
    with writing(engine) as connection:
        keep(connection, DayComparison(day, days, {}, account), now)


def test_the_newest_check_of_a_day_stands(engine: Engine) -> None:
    before = DAY - timedelta(days=1)
    kept(engine, DAY, [(MODEL, 5, 3), (OTHER_MODEL, 1, 1)])
    kept(engine, before, [(MODEL, 9, 9)])
    kept(engine, DAY, [(MODEL, 5, 7)], END)
    assert stored(engine) == {
        (to_ms(START), MODEL, "", 1, 5, 2, 7, to_ms(END)),
        (to_ms(START) - 86_400_000, MODEL, "", 1, 9, 2, 9, to_ms(NOON)),
    }


def test_each_account_has_checks_of_its_own(engine: Engine) -> None:
    kept(engine, DAY, [(MODEL, 5, 3)], account="main")
    kept(engine, DAY, [(MODEL, 4, 5)], account="spare")
    kept(engine, DAY, [(MODEL, 5, 5)], account="main")
    with reading(engine) as connection:
        assert last_check(connection) == LastCheck(START, {(MODEL, "main"): 0, (MODEL, "spare"): -1})


async def test_an_account_is_compared_with_its_own_part(engine: Engine) -> None:
    async with running_ledger(engine, StillClock(NOON)) as ledger:
        for number, account in enumerate(("main", "spare", "spare")):
            lease = await ledger.reserve(a_hold(f"r{number}", at=NOON)._replace(account=account))
            await lease.settle(settled(NOON))
    with reading(engine) as connection:
        bill = [(MODEL, Tally(2, 2 * SETTLED))]
        spare = compare_day(connection, DAY, bill, name_of, "spare")
        main = compare_day(connection, DAY, bill, name_of, "main")
        everything = compare_day(connection, DAY, [(MODEL, Tally(3, 3 * SETTLED))], name_of)
    assert (spare.verdict, main.verdict, everything.verdict) == (Verdict.EQUAL, Verdict.DRIFT, Verdict.EQUAL)
    assert main.models[MODEL].ledger == Tally(1, SETTLED)


def test_gauges_show_the_youngest_day(engine: Engine) -> None:
    with reading(engine) as connection:
        assert last_check(connection) is None
    kept(engine, DAY, [(MODEL, 5, 7), (OTHER_MODEL, 3, 1)])
    kept(engine, DAY - timedelta(days=1), [(MODEL, 100, 0)])
    with reading(engine) as connection:
        assert last_check(connection) == LastCheck(START, {(MODEL, ""): -2, (OTHER_MODEL, ""): 2})
    kept(engine, DAY + timedelta(days=1), [])
    with reading(engine) as connection:
        assert last_check(connection) == LastCheck(END, {})


def test_an_empty_day_is_equal_to_no_bill(engine: Engine) -> None:
    found = compared(engine)
    assert (found.models, found.verdict, found.total) == ({}, Verdict.EQUAL, ModelDay())
