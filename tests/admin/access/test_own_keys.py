"""Who buys without a secret: only the one whose key it is, and only with a key that works."""

from dataclasses import replace
from datetime import timedelta

import pytest

from app.admin.access.own_keys import caller_of_own_key
from app.admin.keys import WantedKey, create_key, disable_key, rotate_key
from app.admin.operator import Operator
from app.errors import Conflict, NotFound
from app.identity.people.principal import Principal
from app.identity.people.roles import Role


def test_an_own_key_and_no_other(operator: Operator) -> None:
    mine, others = (create_key(operator, WantedKey(name)).key.key for name in ("vera", "otto"))
    vera = replace(operator, principal=Principal("user:vera", Role.ADMIN, mine.user_id))
    caller = caller_of_own_key(vera, mine.id)
    assert (caller.key_id, caller.user_id, caller.user_name) == (mine.id, mine.user_id, "vera")
    for somebody, key_id in (
        (vera, others.id),
        (vera, "nothing"),
        (operator, mine.id),
        (replace(operator, principal=Principal("admin-key", Role.ADMIN)), mine.id),
    ):
        with pytest.raises(NotFound, match="no such key of yours"):
            caller_of_own_key(somebody, key_id)


def test_a_rotated_key_works_and_a_disabled_or_expired_one_does_not(operator: Operator) -> None:
    ends = operator.now + timedelta(days=1)
    key = create_key(operator, WantedKey("vera", expires_at=ends)).key.key
    vera = replace(operator, principal=Principal("user:vera", Role.MEMBER, key.user_id))
    rotate_key(operator, key.id, timedelta())
    assert caller_of_own_key(vera, key.id).key_id == key.id
    with pytest.raises(Conflict, match=r"expired at .* Choose another key\."):
        caller_of_own_key(replace(vera, clock=lambda: ends), key.id)
    disable_key(operator, key.id)
    with pytest.raises(Conflict, match="is disabled"):
        caller_of_own_key(vera, key.id)
