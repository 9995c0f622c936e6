from datetime import UTC, datetime, timedelta

from app.database.clock import to_ms
from app.quotas.rules.applicable import LimitCache, Plan
from app.quotas.rules.limits import Limit
from tests.quotas.making import MODEL, NOON, PARTY, on_gateway, on_key, on_team, on_user


def brought(*limits: Limit) -> LimitCache:
    book = LimitCache()
    book.turn_to(1)
    for scope in book.missing([PARTY]):
        book.bring(scope, [limit for limit in limits if (limit.scope, limit.scope_id) == scope])
    return book


def test_the_limits_of_key_user_team_and_gateway_apply() -> None:
    limits = [on_key("images:1/day"), on_user("images:2/day"), on_team("images:3/day"), on_gateway("images:4/day")]
    plan = brought(*limits, on_key("images:9/day", "key-2")).plan(PARTY)
    assert {limit for limit, _ in plan.limits} == set(limits)


def test_without_a_team_no_team_is_asked_for() -> None:
    assert LimitCache().missing([PARTY._replace(team_id=None)]) == [
        ("account", "main"),
        ("gateway", ""),
        ("key", "key-1"),
        ("user", "user-1"),
    ]


def test_limits_of_other_models_do_not_apply() -> None:
    all_models, this, other = on_key("images:1/day"), on_key(f"images:1/day@{MODEL}"), on_key("images:1/day@other")
    plan = brought(all_models, this, other).plan(PARTY)
    assert [limit for limit, _ in plan.limits] == [all_models, this]


def test_limits_that_look_at_one_counter_share_it() -> None:
    plan = Plan(PARTY, [on_key("images:1/day"), on_key("usd:1/day"), on_key("images:9/total"), on_key("concurrent:2")])
    assert [position for _, position in plan.limits] == [0, 0, 1, 1]
    assert [key.window for key in plan.applicable(to_ms(NOON)).keys] == ["day", "total"]


def test_keys_follow_the_windows_forwards_and_backwards() -> None:
    plan = Plan(PARTY, [on_key("images:1/minute"), on_key("images:1/month")])

    def starts(moment: datetime) -> list[datetime]:
        return [datetime.fromtimestamp(key.window_start_ms / 1000, UTC) for key in plan.applicable(to_ms(moment)).keys]

    month = datetime(2026, 11, 1, tzinfo=UTC)
    minute = NOON.replace(second=0)
    assert starts(NOON) == [minute, month]
    assert starts(NOON + timedelta(seconds=29)) == [minute, month]
    assert starts(NOON + timedelta(seconds=30)) == [minute + timedelta(minutes=1), month]
    assert starts(NOON) == [minute, month]
    assert starts(NOON + timedelta(days=30))[1] == datetime(2026, 12, 1, tzinfo=UTC)


def test_reservations_in_the_same_windows_share_an_account() -> None:
    plan = Plan(PARTY, [on_key("images:1/minute")])
    first, same, next_minute = (plan.applicable(to_ms(NOON) + ms) for ms in (0, 29_999, 30_000))
    assert first is same
    assert next_minute is not first
    assert (first.party, first.limits) == (PARTY, plan.limits)


def test_no_limits_need_no_counters() -> None:
    assert Plan(PARTY, []).applicable(to_ms(NOON)).keys == ()


def test_a_new_revision_makes_the_book_ask_again() -> None:
    book = brought(on_key("images:1/day"))
    assert len(book.plan(PARTY).limits) == 1
    assert not book.turn_to(1)
    assert book.missing([PARTY]) == []
    assert book.turn_to(2)
    assert ("key", "key-1") in book.missing([PARTY])
