import asyncio
import hashlib
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import anyio
import pytest
from sqlalchemy import Engine, event, text

from app.database.engine import create_engine, writing
from app.errors import AuthenticationFailed, StoreUnavailable
from app.identity.keys import authentication
from app.identity.keys.authentication import Authenticator, presented_key
from app.identity.keys.format import PresentedKey, imported_secret_sha256
from app.identity.keys.keys import Key, rotate_key, set_key_disabled
from app.identity.keys.many import add_imported_secrets
from app.identity.people.users import User, find_user, set_user_disabled
from tests.identity.people_making import NOW, Clock, bearer, change_at, make_key, minted

ONE = minted(1)
TEXT = ONE.text.get_secret_value()
SECRET = TEXT.rsplit("-", 1)[1]


class Readings:
    """Counts the readings of keys, and holds each up before or after its moment while the gate there is closed."""

    def __init__(self, engine: Engine) -> None:
        self.count = 0
        self.gate_before, self.gate_after = threading.Event(), threading.Event()
        self.gate_before.set()
        self.gate_after.set()
        self._came = threading.Semaphore(0)
        event.listen(engine, "before_cursor_execute", self._before)
        event.listen(engine, "after_cursor_execute", self._after)

    def _before(self, _connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if "FROM key_secrets" in statement:
            self.count += 1
            self._pass(self.gate_before)

    def _after(self, _connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if "FROM key_secrets" in statement:
            self._pass(self.gate_after)

    def _pass(self, gate: threading.Event) -> None:
        if not gate.is_set():
            self._came.release()
            assert gate.wait(30)

    async def wait_at_gate(self) -> None:
        """Until one more reading has come to a closed gate."""
        assert await anyio.to_thread.run_sync(self._came.acquire, True, 20)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def readings(engine: Engine) -> Readings:
    return Readings(engine)


@pytest.fixture
def key(engine: Engine) -> Key:
    with writing(engine) as connection:
        return make_key(connection)


@pytest.fixture
def authenticator(engine: Engine, clock: Clock) -> Authenticator:
    return Authenticator(engine, clock, cache_seconds=2, cache_entries=3)


async def refused(authenticator: Authenticator, authorization: str | None) -> str:
    with pytest.raises(AuthenticationFailed) as failure:
        await authenticator.authenticate(authorization)
    return failure.value.message


# --- the header


@pytest.mark.parametrize(
    "spelling", ["Bearer {}", "bearer {}", "BEARER {}", "Bearer    {}", "  Bearer {}  ", "Bearer\t{}\t"]
)
def test_the_header_is_read_as_clients_spell_it(spelling: str) -> None:
    assert presented_key(spelling.format(TEXT)) == PresentedKey(ONE.id, ONE.secret_sha256)


@pytest.mark.parametrize(
    ("authorization", "message"),
    [
        (None, "You didn't provide an API key. Send yours in the header `Authorization: Bearer sk-zg-…`."),
        ("", "You didn't provide an API key."),
        ("   ", "You didn't provide an API key."),
        ("Bearer", "There is no API key after the word Bearer."),
        ("Bearer   ", "There is no API key after the word Bearer."),
        (TEXT, "The Authorization header cannot be read. Send `Authorization: Bearer sk-zg-…`"),
        (f"Bearer{TEXT}", "The Authorization header cannot be read."),
        (f"Basic {TEXT}", "The Authorization header cannot be read."),
        (f"Token {TEXT}", "The Authorization header cannot be read."),
        (f"Bearer {TEXT}{'0' * 1000}", "The Authorization header cannot be read."),
        (f"Bearer {' ' * 100_000}{TEXT}", "The Authorization header cannot be read."),
        (f'Bearer "{TEXT}"', "Incorrect API key provided. Keys of this gateway begin with sk-zg-"),
        (f"Bearer {TEXT} {TEXT}", "Incorrect API key provided. Keys"),
        (f"Bearer {TEXT[:-1]}", "Incorrect API key provided. Keys"),
        (f"Bearer {TEXT.upper()}", "Incorrect API key provided. Keys"),
        (f"Bearer \xa0{TEXT}", "Incorrect API key provided. Keys"),
        (f"Bearer {TEXT}\xe9\xff", "Incorrect API key provided. Keys"),
        (f"Bearer {TEXT}\udcff", "Incorrect API key provided. Keys"),
        (f"Bearer ak-ai-v1-{SECRET}", "Incorrect API key provided. Keys"),
    ],
)
def test_other_headers_are_refused_saying_what_to_send_and_never_repeated(
    authorization: str | None, message: str
) -> None:
    with pytest.raises(AuthenticationFailed) as failure:
        presented_key(authorization)
    assert failure.value.message.startswith(message)
    assert SECRET[:8] not in failure.value.message


async def test_a_key_tells_who_is_asking(authenticator: Authenticator, key: Key) -> None:
    caller = await authenticator.authenticate(bearer(ONE))
    assert (caller.key_id, caller.user_id, caller.user_name) == (key.id, key.user_id, "alice")


async def test_what_has_not_the_form_of_a_key_is_not_looked_up(
    authenticator: Authenticator, readings: Readings
) -> None:
    for authorization in (None, "Basic x", "Bearer x", f"Bearer {TEXT[:-1]}", "Bearer sk-1234"):
        await refused(authenticator, authorization)
    assert readings.count == 0


async def test_an_unknown_key_is_named_by_its_public_id_only(authenticator: Authenticator, key: Key) -> None:
    unknown = minted(1, secret=9)
    said = await refused(authenticator, bearer(unknown))
    assert said == f"Incorrect API key provided: sk-zg-{key.id}-…. Ask whoever runs this gateway for one."


# --- keys that another gateway made

IMPORTED = "sk-1Zgh0hmwC3PpOYzkhcY9_A"


@pytest.fixture
def imported(engine: Engine, key: Key) -> Key:
    """The key, which was IMPORTED elsewhere."""
    secret = imported_secret_sha256(hashlib.sha256(IMPORTED.encode()).hexdigest())
    with writing(engine) as connection:
        add_imported_secrets(connection, [(key.id, secret)], change_at())
    return key


async def test_an_imported_key_tells_who_is_asking_and_is_remembered(
    authenticator: Authenticator, imported: Key, readings: Readings
) -> None:
    for _ in range(3):
        assert (await authenticator.authenticate(f"Bearer {IMPORTED}")).key_id == imported.id
    assert readings.count == 1
    assert (await authenticator.authenticate(bearer(ONE))).key_id == imported.id


async def test_a_key_that_looks_imported_is_refused_in_the_words_for_what_is_no_key(
    authenticator: Authenticator, imported: Key, readings: Readings
) -> None:
    assert await refused(authenticator, f"Bearer {IMPORTED}x") == await refused(authenticator, "Bearer sk-1234")
    assert readings.count == 1


async def test_an_imported_key_is_disabled_and_rotated_as_any_other(
    engine: Engine, authenticator: Authenticator, imported: Key, clock: Clock
) -> None:
    with writing(engine) as connection:
        rotate_key(connection, imported.id, minted(1, secret=2), timedelta(seconds=60), change=change_at())
    await authenticator.authenticate(f"Bearer {IMPORTED}")
    clock.move(60)
    assert "was replaced by a newer one" in await refused(authenticator, f"Bearer {IMPORTED}")
    disable_key(engine)
    clock.move(2)
    assert "is disabled" in await refused(authenticator, f"Bearer {IMPORTED}")


async def test_guesses_at_imported_keys_stay_within_the_bounds_of_all_guesses(
    authenticator: Authenticator, imported: Key, readings: Readings
) -> None:
    await authenticator.authenticate(f"Bearer {IMPORTED}")
    for number in range(20):
        await refused(authenticator, f"Bearer {IMPORTED}{number}")
    before = readings.count
    await authenticator.authenticate(f"Bearer {IMPORTED}")
    assert readings.count == before
    assert len(authenticator._unknown) == 3
    assert not authenticator._flights


# --- what ends a key


def disable_key(engine: Engine) -> None:
    with writing(engine) as connection:
        set_key_disabled(connection, ONE.id, disabled=True, change=change_at())


def disable_user(engine: Engine) -> None:
    with writing(engine) as connection:
        user = find_user(connection, "alice")
        assert isinstance(user, User)
        set_user_disabled(connection, user, disabled=True, change=change_at())


def rotate_out(engine: Engine) -> None:
    with writing(engine) as connection:
        rotate_key(connection, ONE.id, minted(1, secret=2), timedelta(), change=change_at())


@pytest.mark.parametrize(
    ("end", "reason"), [(disable_key, "is disabled"), (disable_user, "is disabled"), (rotate_out, "was replaced")]
)
async def test_a_key_that_was_ended_stops_when_what_is_remembered_is_old(
    engine: Engine,
    authenticator: Authenticator,
    key: Key,
    clock: Clock,
    end: Callable[[Engine], None],
    reason: str,
) -> None:
    await authenticator.authenticate(bearer(ONE))
    end(engine)
    clock.move(1.999)
    await authenticator.authenticate(bearer(ONE))
    clock.move(0.001)
    assert reason in await refused(authenticator, bearer(ONE))


async def test_both_secrets_work_while_they_overlap(engine: Engine, authenticator: Authenticator, clock: Clock) -> None:
    with writing(engine) as connection:
        make_key(connection)
        rotate_key(connection, ONE.id, minted(1, secret=2), timedelta(seconds=60), change=change_at())
    for secret in (ONE, minted(1, secret=2)):
        assert (await authenticator.authenticate(bearer(secret))).key_id == ONE.id
    clock.move(60)
    assert "was replaced" in await refused(authenticator, bearer(ONE))
    assert (await authenticator.authenticate(bearer(minted(1, secret=2)))).key_id == ONE.id


async def test_expiry_is_compared_at_every_use_not_only_when_read(
    engine: Engine, clock: Clock, readings: Readings
) -> None:
    with writing(engine) as connection:
        make_key(connection, expires_at=NOW + timedelta(seconds=1))
    authenticator = Authenticator(engine, clock, cache_seconds=300, cache_entries=3)
    clock.move(0.999)
    await authenticator.authenticate(bearer(ONE))
    clock.move(0.001)
    assert "expired at 2026-03-01 12:00:01 UTC" in await refused(authenticator, bearer(ONE))
    assert readings.count == 1


async def test_a_key_that_was_enabled_again_works_when_what_is_remembered_is_old(
    engine: Engine, authenticator: Authenticator, key: Key, clock: Clock
) -> None:
    disable_key(engine)
    await refused(authenticator, bearer(ONE))
    with writing(engine) as connection:
        set_key_disabled(connection, ONE.id, disabled=False, change=change_at())
    clock.move(2)
    await authenticator.authenticate(bearer(ONE))


# --- what is remembered


async def test_a_key_is_read_once_in_its_time(
    authenticator: Authenticator, key: Key, clock: Clock, readings: Readings
) -> None:
    for _ in range(5):
        await authenticator.authenticate(bearer(ONE))
    assert readings.count == 1
    clock.move(2)
    await authenticator.authenticate(bearer(ONE))
    assert readings.count == 2


async def test_an_unknown_key_is_read_once_in_its_time_and_works_once_it_is_made(
    engine: Engine, authenticator: Authenticator, clock: Clock, readings: Readings
) -> None:
    for _ in range(5):
        await refused(authenticator, bearer(ONE))
    assert readings.count == 1
    with writing(engine) as connection:
        make_key(connection)
    clock.move(2)
    assert (await authenticator.authenticate(bearer(ONE))).key_id == ONE.id


async def test_a_clock_that_was_set_back_makes_nothing_last_longer(
    engine: Engine, authenticator: Authenticator, key: Key, clock: Clock
) -> None:
    await authenticator.authenticate(bearer(ONE))
    disable_key(engine)
    clock.move(-3600)
    assert "is disabled" in await refused(authenticator, bearer(ONE))


async def test_without_a_time_to_remember_every_request_reads(
    engine: Engine, key: Key, clock: Clock, readings: Readings
) -> None:
    authenticator = Authenticator(engine, clock, cache_seconds=0, cache_entries=3)
    await authenticator.authenticate(bearer(ONE))
    disable_key(engine)
    assert "is disabled" in await refused(authenticator, bearer(ONE))
    assert readings.count == 2


async def test_the_keys_used_last_are_remembered_and_no_more(
    engine: Engine, authenticator: Authenticator, readings: Readings
) -> None:
    with writing(engine) as connection:
        for number in (1, 2, 3, 4):
            make_key(connection, number)
    for number in (1, 2, 3, 1, 4):  # three places: 2 was used least lately
        await authenticator.authenticate(bearer(minted(number)))
    assert readings.count == 4
    for number in (1, 3, 4):
        await authenticator.authenticate(bearer(minted(number)))
    assert readings.count == 4
    await authenticator.authenticate(bearer(minted(2)))
    assert readings.count == 5


async def test_guessing_pushes_no_good_key_out_and_is_bounded_itself(
    authenticator: Authenticator, key: Key, readings: Readings
) -> None:
    await authenticator.authenticate(bearer(ONE))
    for number in range(10, 30):
        await refused(authenticator, bearer(minted(number)))
    before = readings.count
    await authenticator.authenticate(bearer(ONE))
    assert readings.count == before
    assert len(authenticator._unknown) == 3
    assert len(authenticator._known) == 1
    assert not authenticator._flights


async def test_a_key_is_remembered_as_known_or_as_unknown_never_as_both(
    engine: Engine, authenticator: Authenticator, key: Key, clock: Clock
) -> None:
    await authenticator.authenticate(bearer(ONE))
    with writing(engine) as connection:
        connection.execute(text("DELETE FROM key_secrets"))
    clock.move(2)
    await refused(authenticator, bearer(ONE))
    await refused(authenticator, bearer(ONE))
    assert (len(authenticator._known), len(authenticator._unknown)) == (0, 1)


# --- many at once


async def test_requests_with_the_same_key_share_one_reading(
    authenticator: Authenticator, key: Key, readings: Readings
) -> None:
    readings.gate_before.clear()
    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(authenticator.authenticate, bearer(ONE))
        await readings.wait_at_gate()
        readings.gate_before.set()
    assert readings.count == 1


async def test_a_request_that_came_after_a_reading_began_gets_one_that_knows_more(
    engine: Engine, key: Key, clock: Clock, readings: Readings
) -> None:
    """With no time to remember, a key that was disabled is refused from the very next request on."""
    authenticator = Authenticator(engine, clock, cache_seconds=0, cache_entries=3)
    answers: list[str] = []

    async def ask(name: str) -> None:
        try:
            await authenticator.authenticate(bearer(ONE))
            answers.append(f"{name} passed")
        except AuthenticationFailed:
            answers.append(f"{name} refused")

    readings.gate_after.clear()
    async with anyio.create_task_group() as group:
        group.start_soon(ask, "first")
        await readings.wait_at_gate()
        await anyio.to_thread.run_sync(disable_key, engine)
        for _ in range(10):
            group.start_soon(ask, "later")
        await anyio.wait_all_tasks_blocked()
        readings.gate_after.set()
    assert answers == ["first passed"] + ["later refused"] * 10
    assert readings.count == 2


async def test_a_caller_who_leaves_while_reading_disturbs_nobody(
    authenticator: Authenticator, key: Key, readings: Readings
) -> None:
    readings.gate_before.clear()
    first = asyncio.ensure_future(authenticator.authenticate(bearer(ONE)))
    await readings.wait_at_gate()
    second = asyncio.ensure_future(authenticator.authenticate(bearer(ONE)))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    readings.gate_before.set()
    assert (await second).key_id == ONE.id
    assert not authenticator._flights


async def test_few_readings_run_at_a_time_and_few_keys_wait(
    authenticator: Authenticator, readings: Readings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authentication, "_KEYS_IN_READING_MAX", 6)
    readings.gate_before.clear()
    said: list[str] = []

    async def ask(number: int) -> None:
        said.append(await refused(authenticator, bearer(minted(number))))

    async with anyio.create_task_group() as group:
        for number in range(6):
            group.start_soon(ask, number)
        for _ in range(4):
            await readings.wait_at_gate()
        assert readings.count == 4
        with pytest.raises(StoreUnavailable, match="busy"):
            await authenticator.authenticate(bearer(minted(7)))
        readings.gate_before.set()
    assert len(said) == readings.count == 6


async def test_a_request_waits_for_its_turn_only_so_long(
    authenticator: Authenticator, readings: Readings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authentication, "_WAIT_SECONDS", 0.05)
    readings.gate_before.clear()
    hanging = [asyncio.ensure_future(authenticator.authenticate(bearer(minted(number)))) for number in range(4)]
    for _ in range(4):
        await readings.wait_at_gate()
    with pytest.raises(StoreUnavailable, match="busy"):
        await authenticator.authenticate(bearer(minted(9)))
    assert {type(said) for said in await asyncio.gather(*hanging, return_exceptions=True)} == {StoreUnavailable}
    assert not authenticator._flights
    readings.gate_before.set()
    together = threading.Barrier(4)  # every place is given back, and no thread outlives the engine
    await asyncio.gather(*(authenticator._readers.run(together.wait, 30) for _ in range(4)))


# --- the database in trouble


@pytest.fixture
def broken(store_url: str, store_kind: str, request: pytest.FixtureRequest) -> Callable[[], None]:
    """Takes the database away from the gateway."""

    def break_it() -> None:
        if store_kind == "postgresql":
            request.getfixturevalue("postgresql_server").drop(store_url)
        else:
            for path in Path(store_url.removeprefix("sqlite:///")).parent.glob("store-1.db*"):
                path.write_bytes(b"damaged" * 4096)

    return break_it


async def test_trouble_with_the_database_is_never_the_keys_fault(
    store_url: str, clock: Clock, broken: Callable[[], None]
) -> None:
    engine = create_engine(store_url)
    with writing(engine) as connection:
        make_key(connection)
    authenticator = Authenticator(engine, clock, cache_seconds=2, cache_entries=3)
    await authenticator.authenticate(bearer(ONE))
    await refused(authenticator, bearer(minted(2)))
    engine.dispose()
    broken()
    await authenticator.authenticate(bearer(ONE))
    clock.move(2)
    for known_or_not in (ONE, minted(2), minted(3)):
        with pytest.raises(StoreUnavailable) as failure:
            await authenticator.authenticate(bearer(known_or_not))
        assert failure.value.message == "The gateway's database is not available; try again shortly."
    engine.dispose()


async def test_requests_that_waited_for_a_reading_that_failed_fail_with_it(
    authenticator: Authenticator, engine: Engine, readings: Readings
) -> None:
    with writing(engine) as connection:
        connection.execute(text("ALTER TABLE key_secrets RENAME TO elsewhere"))
    failures: list[StoreUnavailable] = []

    async def ask() -> None:
        with pytest.raises(StoreUnavailable) as failure:
            await authenticator.authenticate(bearer(ONE))
        failures.append(failure.value)

    readings.gate_before.clear()
    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(ask)
        await readings.wait_at_gate()
        readings.gate_before.set()
    assert len(failures) == 20
    assert readings.count == 1
    with writing(engine) as connection:
        connection.execute(text("ALTER TABLE elsewhere RENAME TO key_secrets"))
    await refused(authenticator, bearer(ONE))
