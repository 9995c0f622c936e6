"""Use cases of signing in, on both engines."""

from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import pytest

from app.admin.access.sign_in import (
    create_link,
    find_session,
    list_sessions,
    show_link,
    sign_in_as_admin_key,
    sign_in_by_link,
    sign_out,
)
from app.admin.operator import Operator
from app.admin.users import create_user, disable_user
from app.errors import Conflict, InvalidValue, NotFound
from app.identity.sessions.sessions import SessionBounds

BOUNDS = SessionBounds(timedelta(hours=8), timedelta(days=7))


def test_a_link_opens_one_session(operator: Operator) -> None:
    user = create_user(operator, "vera").user
    token = create_link(operator, "vera", "auditor").get_secret_value()
    shown = show_link(operator, token)
    assert shown is not None
    assert (shown.user_id, shown.role) == (user.id, "auditor")
    opened = sign_in_by_link(operator, token, "Agent/1", BOUNDS)
    assert opened is not None
    assert sign_in_by_link(operator, token, "Agent/1", BOUNDS) is None
    found = find_session(operator, opened.token.get_secret_value(), BOUNDS)
    assert found is not None
    assert (found.id, found.role, found.user_name) == (opened.id, "auditor", "vera")
    sign_out(operator, found.id, user.id)
    assert find_session(operator, opened.token.get_secret_value(), BOUNDS) is None
    with pytest.raises(NotFound):
        sign_out(operator, found.id, user.id)


def test_a_session_notes_its_use_once_a_minute(operator: Operator) -> None:
    opened = sign_in_as_admin_key(operator, "x", BOUNDS)
    text = opened.token.get_secret_value()
    for seconds, noted in ((59, 0), (61, 61), (100, 61), (130, 130)):
        moment = operator.now + timedelta(seconds=seconds)
        find_session(replace(operator, clock=partial(_always, moment)), text, BOUNDS)
        (found,) = list_sessions(operator, None, BOUNDS)
        assert (found.seen_at - found.created_at).total_seconds() == noted


def test_what_cannot_be_signed_in(operator: Operator) -> None:
    with pytest.raises(NotFound):
        create_link(operator, "nobody")
    create_user(operator, "vera")
    with pytest.raises(InvalidValue, match="no role 'root'"):
        create_link(operator, "vera", "root")
    disable_user(operator, "vera")
    with pytest.raises(Conflict, match="Enable them first"):
        create_link(operator, "vera")
    for text in ("", "short", "A" * 43):
        assert show_link(operator, text) is None
        assert sign_in_by_link(operator, text, "", BOUNDS) is None
        assert find_session(operator, text, BOUNDS) is None


def _always(moment: datetime) -> datetime:
    return moment
