"""Keys: the text is told once, and opens the gateway until it is disabled or replaced."""

from datetime import timedelta

import pytest

from app.admin.keys import (
    WantedKey,
    create_key,
    disable_key,
    enable_key,
    key_opens,
    list_keys,
    rotate_key,
    show_key,
)
from app.admin.operator import Operator
from app.admin.users import disable_user, list_users
from app.errors import InvalidValue, NotFound
from app.quotas.rules.limits import parse_limit
from tests.admin.conftest import NOW


def test_a_key_is_made_with_its_user_limits_and_models(operator: Operator) -> None:
    wanted = WantedKey(
        "alice", "laptop", ("openai/gpt-image-2",), NOW + timedelta(days=1), [parse_limit("images:5/day")]
    )
    made = create_key(operator, wanted)
    text = made.text.get_secret_value()
    assert key_opens(operator, text)
    assert text not in repr(made)
    shown = show_key(operator, made.key.key.id)
    assert made.as_json() == {"key": text, **shown.as_json()}
    assert (shown.limits, shown.state(NOW), shown.state(NOW + timedelta(days=1))) == (
        ("images:5/day",),
        "active",
        "expired",
    )
    assert list_keys(operator) == list_keys(operator, "alice") == [shown]


def test_a_refused_key_leaves_no_user_behind(operator: Operator) -> None:
    with pytest.raises(InvalidValue, match="expired"):
        create_key(operator, WantedKey("alice", expires_at=NOW))
    assert list_users(operator) == []
    with pytest.raises(NotFound):
        list_keys(operator, "alice")


def test_what_ends_a_key_and_lets_it_work_again(operator: Operator) -> None:
    made = create_key(operator, WantedKey("alice"))
    text, id_ = made.text.get_secret_value(), made.key.key.id
    assert disable_key(operator, id_).state(NOW) == "disabled"
    assert not key_opens(operator, text)
    assert enable_key(operator, id_).state(NOW) == "active"
    rotated = rotate_key(operator, id_, timedelta()).text.get_secret_value()
    assert key_opens(operator, rotated)
    assert not key_opens(operator, text)
    assert not key_opens(operator, "nonsense")
    disable_user(operator, "alice")
    assert not key_opens(operator, rotated)
    with pytest.raises(InvalidValue, match="366 days"):
        rotate_key(operator, id_, timedelta(days=400))
