"""Reads a database URL in the forms that people have, and refuses what cannot work. Never repeats a part that may
belong to a password. Opens nothing.
"""

import re
from difflib import get_close_matches
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from app.errors import ConfigurationError

_POSTGRESQL_DRIVERS = {"postgres", "postgresql", "postgresql+psycopg"}
_HOW_TO_WRITE_IT = "write sqlite:///<file> or postgresql://<user>:<password>@<host>/<database>"

# Options of other libraries that are often in a URL, and what to write instead.
_FOREIGN_OPTIONS = {
    "schema": "take it out; for another schema than public write options=-csearch_path%3D<schema>",
    "pgbouncer": "take it out; a pooler must be in session mode",
    "connection_limit": "take it out; a process opens at most 11 connections",
    "pool_timeout": "take it out; the gateway keeps a pool of its own",
    "ssl": "write sslmode=require",
}

_HOST = r"[^/?:,@\[\]]*|\[[^\]/?@]*\]"
_SEVERAL_HOSTS = re.compile(
    rf"(?P<before>[\w+]+://(?:[^:/@]*(?::[^@]*)?@)?)"
    rf"(?P<hosts>(?:{_HOST})(?::\d*)?(?:,(?:{_HOST})(?::\d*)?)+)(?P<after>[/?].*)?"
)


def parse_url(text: str) -> URL:
    """The URL of an SQLite file, or of PostgreSQL with psycopg as its driver.

    White space around it is ignored. Several PostgreSQL hosts, `host1:5432,host2`, are tried in order. Raises
    ConfigurationError for anything else; its message says what to write.
    """
    text = text.strip()
    if not text.isprintable():
        raise ConfigurationError(f"The database URL holds a line break or a control character; {_HOW_TO_WRITE_IT}.")
    _refuse_raw_at(text)
    several = _SEVERAL_HOSTS.fullmatch(text)
    try:
        # A placeholder stands for several hosts, because SQLAlchemy does not read their ports.
        parsed = make_url(f"{several['before']}hosts{several['after'] or ''}" if several else text)
    except (ArgumentError, ValueError):
        raise ConfigurationError(f"The database URL cannot be read; {_HOW_TO_WRITE_IT}.") from None
    if parsed.drivername in _POSTGRESQL_DRIVERS:
        return _postgresql(parsed.set(drivername="postgresql+psycopg"), several["hosts"] if several else None)
    if parsed.drivername != "sqlite":
        raise ConfigurationError(f"The database URL begins with {parsed.drivername}://; {_HOW_TO_WRITE_IT}.")
    if parsed.host or parsed.username or parsed.query or parsed.database in (None, "", ":memory:"):
        raise ConfigurationError("The database URL names no SQLite file; write sqlite:///<file>, without options.")
    return parsed


def sqlite_file(url: str) -> Path | None:
    """The file of an SQLite database; None for PostgreSQL. Raises ConfigurationError as `parse_url` does."""
    parsed = parse_url(url)
    return Path(parsed.database) if parsed.drivername == "sqlite" and parsed.database else None


def shown_place(url: str) -> str:
    """The place of the database, without its password. Raises ConfigurationError as `parse_url` does."""
    file = sqlite_file(url)
    if file is not None:
        return str(file)
    parsed = parse_url(url)
    hidden = {name: "***" for name in parsed.query if "password" in name or "secret" in name}
    return parsed.update_query_dict(hidden).render_as_string(hide_password=True)


def _refuse_raw_at(text: str) -> None:
    """The first @ ends user and password. With a second one, the rest of the password would be read as the host."""
    scheme, _, rest = text.partition("://")
    if not scheme.startswith("postgres"):
        return
    user, colon, after = rest.partition(":")
    _, at, remainder = after.partition("@") if colon and "/" not in user else rest.rpartition("@")
    if at and "@" in remainder:
        raise ConfigurationError(
            "The database URL holds more than one @. In a user name or password, write @ as %40, : as %3A, / as %2F, "
            "? as %3F, # as %23 and % as %25."
        )


def _postgresql(url: URL, hosts: str | None) -> URL:
    _refuse_unknown_options(url)
    if hosts is None:
        return url
    parts = [re.fullmatch(rf"({_HOST})(?::(\d*))?", part) for part in hosts.split(",")]
    names = ",".join(part[1].strip("[]") for part in parts if part)
    ports = ",".join(part[2] or "5432" for part in parts if part)
    # Only one of several servers accepts writes.
    writable = {"target_session_attrs": "read-write"}
    return url.set(host=None, query={**writable, **url.query, "host": names, "port": ports})


def _refuse_unknown_options(url: URL) -> None:
    """PostgreSQL's library refuses them as well, but its message looks like a bug."""
    from psycopg import pq  # noqa: PLC0415 - nobody on SQLite needs it

    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    for name in url.query:
        if name in known:
            continue
        shown = name if re.fullmatch(r"[A-Za-z_]{1,40}", name) else "one"
        close = get_close_matches(name, known, n=1, cutoff=0.7)
        advice = _FOREIGN_OPTIONS.get(name) or (f"write {close[0]} if you mean that" if close else "take it out")
        raise ConfigurationError(f"The database URL has an option PostgreSQL does not know, {shown}: {advice}.")
