import pytest

from app.errors import InvalidValue
from app.quotas.rules.limits import (
    Limit,
    Scope,
    Unit,
    Window,
    WrittenLimit,
    describe_amount,
    format_limit,
    format_usd,
    parse_limit,
)


@pytest.mark.parametrize(
    ("text", "unit", "amount", "window", "model"),
    [
        ("images:100/day", Unit.IMAGES, 100, Window.DAY, ""),
        ("requests:0/minute", Unit.REQUESTS, 0, Window.MINUTE, ""),
        ("tokens:1000000000000000/total", Unit.TOKENS, 10**15, Window.TOTAL, ""),
        ("requests:5/hour", Unit.REQUESTS, 5, Window.HOUR, ""),
        ("images:7/week", Unit.IMAGES, 7, Window.WEEK, ""),
        ("usd:5/month", Unit.USD, 5_000_000_000, Window.MONTH, ""),
        ("usd:5.50/month", Unit.USD, 5_500_000_000, Window.MONTH, ""),
        ("usd:0.000000001/day", Unit.USD, 1, Window.DAY, ""),
        ("usd:1000000000/total", Unit.USD, 10**18, Window.TOTAL, ""),
        ("concurrent:3", Unit.CONCURRENT, 3, Window.NOW, ""),
        ("concurrent:1@gpt-image-2", Unit.CONCURRENT, 1, Window.NOW, "gpt-image-2"),
        ("images:20/day@openai/gpt-image-2", Unit.IMAGES, 20, Window.DAY, "openai/gpt-image-2"),
        ("  images:20/day ", Unit.IMAGES, 20, Window.DAY, ""),
    ],
)
def test_reads_what_is_written(text: str, unit: Unit, amount: int, window: Window, model: str) -> None:
    assert parse_limit(text) == WrittenLimit(unit, amount, window, model)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is not understood"),
        ("images", "is not understood"),
        ("images:100:day", "no whole number"),
        ("100/day", "is not understood"),
        ("IMAGES:100/day", "is not understood"),
        ("photos:100/day", "unit 'photos' is none of requests, images, tokens, usd, concurrent"),
        ("images:100", "names no window: add one of minute, hour, day, week, month, total"),
        ("images:100/fortnight", "window 'fortnight' is none of"),
        ("images:3/now", "window 'now' is none of"),
        ("concurrent:3/day", "takes no window; drop /day"),
        ("images:1.5/day", "'1.5' is no whole number"),
        ("images:-1/day", "'-1' is no whole number"),
        ("images:1e3/day", "'1e3' is no whole number"),
        ("images:٣/day", "is no whole number"),
        ("usd:$5/day", "is no amount in dollars"),
        ("usd:-5/day", "is no amount in dollars"),
        ("usd:.5/day", "is no amount in dollars"),
        ("usd:0.0000000001/day", "at most 9 decimals"),
        ("usd:NaN/day", "is no amount in dollars"),
        ("usd:1000000000.01/day", "more than can be counted"),
        ("images:1000000000000001/day", "more than can be counted"),
        ("images:1/day@", "'' is no model name"),
        ("images:1/day@gpt image", "'gpt image' is no model name"),
        ("images:1/day@" + "m" * 121, "is no model name"),
        ("images:1/day\nimages:2/day", "is not understood"),
    ],
)
def test_names_what_is_wrong(text: str, says: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        parse_limit(text)
    assert says in caught.value.message


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("images:100/day", "images:100/day"),
        ("images:0100/day", "images:100/day"),
        ("usd:5/month", "usd:5.00/month"),
        ("usd:5.5/month@gpt-image-2", "usd:5.50/month@gpt-image-2"),
        ("usd:0.123456789/day", "usd:0.123456789/day"),
        ("concurrent:3@m", "concurrent:3@m"),
    ],
)
def test_writes_what_it_reads(text: str, normal: str) -> None:
    written = parse_limit(text)
    assert format_limit(written) == normal
    assert parse_limit(normal) == written
    assert format_limit(written.on(Scope.KEY, "k", shadow=True)) == normal


def test_a_written_limit_is_put_on_somebody() -> None:
    limit = parse_limit("images:3/day@m").on(Scope.USER, "u", shadow=True)
    assert limit == Limit(Unit.IMAGES, 3, Window.DAY, Scope.USER, "u", "m", shadow=True)
    assert limit.counter_window is Window.DAY


def test_concurrent_looks_at_the_total() -> None:
    assert parse_limit("concurrent:3").on(Scope.GATEWAY).counter_window is Window.TOTAL


@pytest.mark.parametrize(
    ("unit", "amount", "window", "scope", "scope_id"),
    [
        (Unit.CONCURRENT, 1, Window.DAY, Scope.KEY, "k"),
        (Unit.IMAGES, 1, Window.NOW, Scope.KEY, "k"),
        (Unit.IMAGES, -1, Window.DAY, Scope.KEY, "k"),
        (Unit.IMAGES, 10**15 + 1, Window.DAY, Scope.KEY, "k"),
        (Unit.IMAGES, 1, Window.DAY, Scope.KEY, ""),
        (Unit.IMAGES, 1, Window.DAY, Scope.GATEWAY, "g"),
        (Unit.IMAGES, 1, Window.DAY, Scope.DEFAULT, "d"),
    ],
)
def test_parts_that_do_not_fit_together(unit: Unit, amount: int, window: Window, scope: Scope, scope_id: str) -> None:
    with pytest.raises(ValueError, match=r"concurrent|negative|scope"):
        Limit(unit, amount, window, scope, scope_id)


@pytest.mark.parametrize(
    ("nanousd", "dollars"),
    [(0, "0.00"), (1, "0.000000001"), (41_200_000, "0.0412"), (5 * 10**9, "5.00"), (-1_500_000_000, "-1.50")],
)
def test_dollars_are_exact(nanousd: int, dollars: str) -> None:
    assert format_usd(nanousd) == dollars


@pytest.mark.parametrize(
    ("unit", "amount", "words"),
    [
        (Unit.USD, 41_200_000, "$0.0412"),
        (Unit.IMAGES, 1, "1 image"),
        (Unit.IMAGES, 0, "0 images"),
        (Unit.TOKENS, 12_000, "12,000 tokens"),
        (Unit.REQUESTS, 2, "2 requests"),
        (Unit.CONCURRENT, 1, "1 request"),
    ],
)
def test_amounts_in_words(unit: Unit, amount: int, words: str) -> None:
    assert describe_amount(unit, amount) == words
