"""The secrets of links, as several processes of one database know them."""

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

from sqlalchemy import Engine

from app.database.engine import writing
from app.database.gateway_secrets import rotate_secret
from app.files.link_secrets import LinkSecrets
from app.files.links import SECRET_NAME
from tests.quotas.making import StillClock

FILE = "f" * 32


def rotate(engine: Engine, clock: StillClock) -> None:
    with writing(engine) as connection:
        rotate_secret(connection, SECRET_NAME, b"rotated" * 5, clock())


async def made(links: LinkSecrets, clock: StillClock) -> tuple[str, int, str]:
    query = parse_qs(urlsplit(links.link("", FILE, "image/png", clock() + timedelta(hours=1))).query)
    return FILE, int(query["exp"][0]), query["sig"][0]


async def test_all_processes_sign_alike_and_learn_of_a_rotation(engine: Engine) -> None:
    clock = StillClock()
    one, two = LinkSecrets(engine, clock, 3600), LinkSecrets(engine, clock, 3600)
    await one.load()
    await two.load()
    before = await made(one, clock)
    assert await made(two, clock) == before
    rotate(engine, clock)
    await one.load()
    after = await made(one, clock)
    assert after != before
    assert await two.is_signed(*after)  # the other looks when it meets a signature that it does not know
    assert await two.is_signed(*before)
    assert await one.is_signed(*before)


async def test_forged_links_do_not_each_ask_the_database(engine: Engine, monkeypatch: object) -> None:
    clock = StillClock()
    links = LinkSecrets(engine, clock, 3600)
    await links.load()
    reads = 0
    read = links._read

    def count() -> object:
        nonlocal reads
        reads += 1
        return read()

    links._read = count  # type: ignore[method-assign, assignment]
    for number in range(50):
        assert not await links.is_signed(FILE, 1_900_000_000, f"forged-{number}")
    assert reads <= 2
