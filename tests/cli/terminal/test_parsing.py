"""Words typed at the terminal, read and written."""

from datetime import UTC, datetime, timedelta

import pytest

from app.cli.terminal import parsing

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("90s", timedelta(seconds=90)),
        ("30m", timedelta(minutes=30)),
        ("12h", timedelta(hours=12)),
        ("30d", timedelta(days=30)),
        ("2w", timedelta(weeks=2)),
        ("1d12h", timedelta(days=1, hours=12)),
        (" 30D ", timedelta(days=30)),
    ],
)
def test_durations(written: str, meant: timedelta) -> None:
    assert parsing.parse_duration(written) == meant


@pytest.mark.parametrize(
    "written", ["", "30", "d", "-1d", "1.5h", "1mo", "3 d", "0d", "0d0h", "200000w", "9999999d", "\u0661d", "30d!"]
)
def test_what_is_no_duration_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r"is not"):
        parsing.parse_duration(written)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("30d", datetime(2026, 12, 24, 9, 30, tzinfo=UTC)),
        ("2026-12-31", datetime(2027, 1, 1, tzinfo=UTC)),  # valid on that day too
        ("2026-11-24", datetime(2026, 11, 25, tzinfo=UTC)),
        ("2026-12-31T18:00", datetime(2026, 12, 31, 18, tzinfo=UTC)),
        ("2026-12-31T18:00Z", datetime(2026, 12, 31, 18, tzinfo=UTC)),
        ("2026-12-31t18:00z", datetime(2026, 12, 31, 18, tzinfo=UTC)),
        ("2026-12-31T18:00+02:00", datetime(2026, 12, 31, 16, tzinfo=UTC)),
        ("2026-12-31 18:00", datetime(2026, 12, 31, 18, tzinfo=UTC)),
    ],
)
def test_expiries(written: str, meant: datetime) -> None:
    assert parsing.parse_expiry(written, NOW) == meant


@pytest.mark.parametrize("written", ["2026-11-23", "2026-11-24T09:30", "1999-01-01"])
def test_a_past_expiry_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="in the past"):
        parsing.parse_expiry(written, NOW)


@pytest.mark.parametrize("written", ["tomorrow", "2026-02-30", "31.12.2026", "9999-12-31T25:00", ""])
def test_what_is_no_expiry_is_refused_with_examples(written: str) -> None:
    with pytest.raises(ValueError, match=r"write 30d, 12h, 2027-01-31"):
        parsing.parse_expiry(written, NOW)


def test_the_last_day_of_the_calendar_is_refused_and_not_an_accident() -> None:
    with pytest.raises(ValueError, match="neither"):
        parsing.parse_expiry("9999-12-31", NOW)


def test_a_report_holds_its_first_and_its_last_day() -> None:
    assert parsing.parse_since("2026-10-01", NOW) == datetime(2026, 10, 1, tzinfo=UTC)
    assert parsing.parse_until("2026-10-31", NOW) == datetime(2026, 11, 1, tzinfo=UTC)


def test_a_report_may_begin_some_time_ago() -> None:
    assert parsing.parse_since("7d", NOW) == NOW - timedelta(days=7)
    assert parsing.parse_until("12h", NOW) == NOW - timedelta(hours=12)


def test_what_is_no_edge_of_a_report_is_refused_with_examples() -> None:
    with pytest.raises(ValueError, match="7d for 7 days ago"):
        parsing.parse_since("last week", NOW)


def test_moments_are_written_in_utc() -> None:
    moment = datetime.fromisoformat("2026-11-24T10:30:00.5+01:00")
    assert parsing.day_and_time(moment) == "2026-11-24 09:30"
    assert parsing.day_and_time(None) == ""


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://gw:s3cret@db/gateway", f"postgresql://{parsing.MASK}@db/gateway"),
        ("postgresql://gw:p@ss@db/gateway", f"postgresql://{parsing.MASK}@db/gateway"),
        (
            "postgresql://db/gateway?user=gw&password=s3cret",
            f"postgresql://db/gateway?user=gw&password={parsing.MASK}",
        ),
        (
            "postgresql://db/gateway?sslpassword=s3cret&x=1",
            f"postgresql://db/gateway?sslpassword={parsing.MASK}&x=1",
        ),
        ("sqlite:///data/gateway.db", "sqlite:///data/gateway.db"),
        ("https://zenmux.ai/api/v1", "https://zenmux.ai/api/v1"),
    ],
)
def test_secrets_in_urls_are_hidden(url: str, shown: str) -> None:
    assert parsing.mask_url(url) == shown


def test_a_name_cannot_steer_the_terminal() -> None:
    assert "\x1b" not in parsing.printable("a\x1b[31mlice\n")
    assert parsing.printable("Zoë 李") == "Zoë 李"
