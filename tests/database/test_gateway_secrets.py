"""Secrets that all processes of one database share."""

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from sqlalchemy import Engine

from app.database.engine import writing
from app.database.gateway_secrets import drop_secrets, kept_secrets, rotate_secret, secret
from tests.quotas.making import NOON


def test_the_first_one_stays(engine: Engine) -> None:
    assert secret(engine, "links", b"first", NOON) == b"first"
    assert secret(engine, "links", b"second", NOON) == b"first"
    assert secret(engine, "fingerprints", b"other", NOON) == b"other"


def test_all_who_ask_at_once_get_the_same(engine: Engine) -> None:
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: secret(engine, "links", os.urandom(32), NOON), range(16)))
    assert len(set(found)) == 1


def test_a_rotation_keeps_the_old_one_until_it_is_dropped(engine: Engine) -> None:
    later = NOON + timedelta(hours=1)
    secret(engine, "links", b"old", NOON)
    with writing(engine) as connection:
        made = rotate_secret(connection, "links", b"new", later)
    assert secret(engine, "links", b"unused", later) == b"new"
    assert [(each.value, each.created_at) for each in kept_secrets(engine, "links")] == [
        (b"new", later),
        (b"old", NOON),
    ]
    with writing(engine) as connection:
        drop_secrets(connection, "links", made.version)
    assert [each.value for each in kept_secrets(engine, "links")] == [b"new"]


def test_a_rotation_of_none_makes_the_first(engine: Engine) -> None:
    with writing(engine) as connection:
        assert rotate_secret(connection, "links", b"first", NOON).version == 1
