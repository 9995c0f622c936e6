"""What several commands look up: keys as people paste them, models and limits as they write them."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, Engine

from app.cli import people
from app.cli.terminal import WrongUse
from app.database.changes import Change, list_changes
from app.database.engine import writing
from app.errors import NotFound
from app.images.catalog import load_catalog
from app.keys.format import PUBLIC_ID_BYTES, SECRET_BYTES, mint
from app.keys.records import NewKey, create_key, create_team
from app.quotas.administration import set_limit
from app.quotas.limits import Scope, Unit, parse_limit
from app.setting_values import UnknownModels
from app.settings import Settings
from tests.cli.conftest import NOW

CATALOG = load_catalog()
SETTINGS = Settings(_env_file=None)
MINTED = mint(b"\x01" * PUBLIC_ID_BYTES, b"\x02" * SECRET_BYTES)
CHANGE = Change("test", NOW, lambda: "1")


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    with writing(engine) as connection:
        yield connection


def test_a_new_user_gets_a_copy_of_the_defaults(connection: Connection) -> None:
    set_limit(connection, parse_limit("images:5/day").on(Scope.DEFAULT), change=CHANGE)
    user = people.make_user(connection, "alice", create_team(connection, "design", change=CHANGE), CHANGE)
    assert user.team_name == "design"
    assert people.limits_of(connection, Scope.USER, user.id) == ["images:5/day"]
    assert people.limits_by_owner(connection, Scope.USER) == {user.id: ["images:5/day"]}
    assert {change.actor for change in list_changes(connection, 10)} == {"test"}


def test_a_name_that_is_nearly_right_is_suggested(connection: Connection) -> None:
    people.make_user(connection, "alice", None, CHANGE)
    create_team(connection, "design", change=CHANGE)
    with pytest.raises(NotFound, match=r"no user 'alcie'\. Did you mean alice\?"):
        people.existing_user(connection, "alcie")
    with pytest.raises(NotFound, match=r"no user 'zoe'\. `users list`"):
        people.existing_user(connection, "zoe")
    with pytest.raises(NotFound, match=r"no team 'desing'\. Did you mean design\?"):
        people.existing_team(connection, "desing")


def test_a_key_is_found_by_whatever_part_of_it_people_have(connection: Connection) -> None:
    user = people.make_user(connection, "alice", None, CHANGE)
    create_key(connection, NewKey(user.id), MINTED, change=CHANGE)
    text = MINTED.text.get_secret_value()
    for written in (MINTED.id, text, f"sk-zg-{MINTED.id}-…", f" {MINTED.id}\n"):
        assert people.existing_key(connection, written).id == MINTED.id


def test_a_key_that_is_not_there_is_told_without_its_secret(connection: Connection) -> None:
    text = MINTED.text.get_secret_value()
    with pytest.raises(NotFound, match=f"no key {MINTED.id}; `keys list`") as raised:
        people.existing_key(connection, text)
    assert text not in raised.value.message
    with pytest.raises(NotFound, match="no key with this id"):
        people.existing_key(connection, "hunter2")


@pytest.mark.parametrize("name", ["gpt-image-2", "openai/gpt-image-2", "gpt-image-2-2026-04-21"])
def test_a_model_goes_by_all_of_its_names(name: str) -> None:
    assert people.model_id_of(name, CATALOG, SETTINGS) == "openai/gpt-image-2"
    assert people.existing_model(name, CATALOG, SETTINGS).name == "gpt-image-2"


def test_a_model_nobody_could_ask_for_is_refused() -> None:
    with pytest.raises(WrongUse, match=r"'gpt-imgae-2'\. Did you mean gpt-image-2\?"):
        people.model_id_of("gpt-imgae-2", CATALOG, SETTINGS)
    with pytest.raises(WrongUse, match="'dall-e-3' is retired; name gpt-image-2"):
        people.model_id_of("dall-e-3", CATALOG, SETTINGS)


def test_where_unknown_models_pass_keys_may_name_them() -> None:
    passing = Settings(_env_file=None, unknown_models=UnknownModels.PASS, unknown_model_hold_usd="0.2")
    assert people.model_id_of("qwen/qwen-image-2.0", CATALOG, passing) == "qwen/qwen-image-2.0"
    for written in ("GPT-Image-2", "openai/gpt-image-2:azure", "two words", ""):
        with pytest.raises(WrongUse):
            people.model_id_of(written, CATALOG, passing)


def test_a_limit_of_one_model_holds_for_all_of_its_names() -> None:
    assert people.read_limit("images:5/day@gpt-image-2", CATALOG, SETTINGS).model == "openai/gpt-image-2"
    with pytest.raises(WrongUse, match="write unit:amount/window"):
        people.read_limit("5 images", CATALOG, SETTINGS)
    with pytest.raises(WrongUse, match="no model 'x'"):
        people.read_limit("images:5/day@x", CATALOG, SETTINGS)


def test_limits_that_contradict_each_other_are_refused() -> None:
    assert len(people.read_limits(["images:5/day", "images:5/day@gpt-image-2"], CATALOG, SETTINGS)) == 2
    assert people.read_limits(None, CATALOG, SETTINGS) == []
    with pytest.raises(WrongUse, match="leave one"):
        people.read_limits(["images:5/day", "images:9/day"], CATALOG, SETTINGS)


def test_amounts_for_programs_and_limits_for_people() -> None:
    assert people.amount_fields(Unit.IMAGES, "used", 3) == {"used": 3}
    assert people.amount_fields(Unit.USD, "used", 41_200_000) == {"used_usd": "0.0412", "used_nanousd": 41_200_000}
    assert people.written(parse_limit("images:5/day").on(Scope.GATEWAY, shadow=True)) == "images:5/day (shadow)"
