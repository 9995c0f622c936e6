"""Database URLs as people have them: what is understood, and what is refused without a part of a password."""

from pathlib import Path

import pytest

from app.database.engine import create_engine, reading
from app.database.url import parse_url, shown_place, sqlite_file
from app.errors import ConfigurationError, StoreUnavailable

PASSWORD_PARTS = ("hunter", "two", "three")


@pytest.mark.parametrize(
    "password",
    [
        "hunter@two",
        "hunter@two:three",
        "hunter@two/three",
        "hunter@two?three",
        "@hunter",
        "hunter@two&three=1",
        "a@b@c",
    ],
)
@pytest.mark.parametrize("host", ["db", "db:5432", "db1,db2", "[::1]"])
def test_a_raw_at_in_a_password_is_refused_with_the_way_out(password: str, host: str) -> None:
    for read in (parse_url, create_engine, shown_place, sqlite_file):
        with pytest.raises(ConfigurationError, match="write @ as %40") as refused:
            read(f"postgresql://gateway:{password}@{host}/ledger")
        assert not any(part in refused.value.message for part in PASSWORD_PARTS)
        assert refused.value.__cause__ is None


@pytest.mark.parametrize("password", ["p%40ss", "p:q", "p/q", "p?q", "p#q", "p%25", "p,q"])
def test_any_other_password_is_read_and_never_shown(password: str) -> None:
    url = parse_url(f"postgresql://gateway:{password}@db:5433/ledger")
    assert (url.username, url.host, url.port, url.database) == ("gateway", "db", 5433, "ledger")
    assert url.password == password.replace("%40", "@").replace("%25", "%")
    place = shown_place(f"postgresql://gateway:{password}@db:5433/ledger")
    assert place == "postgresql+psycopg://gateway:***@db:5433/ledger"


def test_a_password_among_the_options_is_not_shown_either() -> None:
    place = shown_place("postgresql://gateway@db/ledger?password=hunter2&sslpassword=hunter2&sslmode=require")
    assert "hunter2" not in place
    assert "sslmode=require" in place


@pytest.mark.parametrize("user", ["gateway@server", "gateway%40server"])
def test_a_user_name_may_hold_an_at(user: str) -> None:
    assert parse_url(f"postgresql://{user}:secret@db/ledger").username == "gateway@server"


@pytest.mark.parametrize(
    ("option", "advice"),
    [
        ("schema=public", "search_path"),
        ("connection_limit=10", "at most 11"),
        ("pgbouncer=true", "session mode"),
        ("ssl=true", "sslmode=require"),
        ("sslmod=require", "write sslmode"),
        ("hunter%40two=1", "one: take it out"),
    ],
)
def test_options_of_other_libraries_are_refused_by_name(option: str, advice: str) -> None:
    with pytest.raises(ConfigurationError, match="an option PostgreSQL does not know") as refused:
        create_engine(f"postgresql://gateway@db/ledger?{option}")
    assert advice in refused.value.message
    assert "hunter" not in refused.value.message


@pytest.mark.parametrize("option", ["sslmode=nonsense", "connect_timeout=soon", "port=1,many", "host=db:many"])
def test_an_option_that_says_nothing_is_an_error_and_no_traceback(option: str) -> None:
    with (
        pytest.raises((ConfigurationError, StoreUnavailable)),
        reading(create_engine(f"postgresql:///ledger?{option}")),
    ):
        pass


@pytest.mark.parametrize(
    ("hosts", "host", "ports"),
    [
        ("db1,db2", "db1,db2", "5432,5432"),
        ("db1:5433,db2", "db1,db2", "5433,5432"),
        ("db1:5433,db2:5434,db3", "db1,db2,db3", "5433,5434,5432"),
        ("[::1]:5433,db2", "::1,db2", "5433,5432"),
    ],
)
def test_several_hosts_are_understood(hosts: str, host: str, ports: str) -> None:
    url = parse_url(f"postgresql://gateway:hunter2@{hosts}/ledger?sslmode=prefer")
    assert (url.query["host"], url.query["port"], url.password) == (host, ports, "hunter2")
    assert url.query["target_session_attrs"] == "read-write"
    assert url.query["sslmode"] == "prefer"


def test_several_hosts_are_tried_one_after_the_other() -> None:
    engine = create_engine("postgresql://gateway:hunter2@127.0.0.1:1,127.0.0.1:2/ledger")
    with pytest.raises(StoreUnavailable) as failure, reading(engine):
        pass
    cause = repr(failure.value.__cause__)
    assert "port 1" in cause
    assert "port 2" in cause
    assert "hunter2" not in cause


@pytest.mark.parametrize("around", ["{}\n", " {}", "{}\r\n", "\t{} "])
def test_white_space_around_a_url_is_passed_over(around: str) -> None:
    assert sqlite_file(around.format("sqlite:///data/gateway.db")) == Path("data/gateway.db")
    assert parse_url(around.format("postgres://db/ledger")).database == "ledger"


@pytest.mark.parametrize("url", ["sqlite:///a\nb.db", "sqlite:///a\x00b.db", "postgresql://u:hunter\ntwo@db/ledger"])
def test_a_line_break_within_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="control character") as refused:
        parse_url(url)
    assert "hunter" not in refused.value.message


def test_only_sqlite_has_a_file() -> None:
    assert sqlite_file("sqlite:///data/gateway.db") == Path("data/gateway.db")
    assert sqlite_file("postgresql://db/gateway") is None
    assert shown_place("sqlite:////data/gateway.db") == "/data/gateway.db"
