"""Every cell of the table of roles; how far each reaches; the page that is made of it."""

import pytest

from app.admin.access.permissions import PERMISSIONS, Permission, Reach, covers, permit
from app.errors import NotPermitted
from app.identity.people.principal import Principal
from app.identity.people.roles import Role
from tests.admin.access.roles_page import PAGE, page_with_table

ALL, TEAM, OWN, NONE = Reach.ALL, Reach.TEAM, Reach.OWN, Reach.NONE
EXPECTED = {  # admin, auditor, lead, member
    Permission.READ_PEOPLE: (ALL, ALL, TEAM, OWN),
    Permission.READ_USAGE: (ALL, ALL, TEAM, OWN),
    Permission.READ_CHANGES: (ALL, ALL, TEAM, OWN),
    Permission.READ_CATALOG: (ALL, ALL, ALL, ALL),
    Permission.READ_GATEWAY: (ALL, ALL, NONE, NONE),
    Permission.CHANGE_TEAMS: (ALL, NONE, NONE, NONE),
    Permission.CHANGE_USERS: (ALL, NONE, NONE, NONE),
    Permission.MINT_KEYS: (ALL, NONE, TEAM, NONE),
    Permission.DISABLE_KEYS: (ALL, NONE, TEAM, NONE),
    Permission.CHANGE_KEYS: (ALL, NONE, NONE, NONE),
    Permission.SET_LIMITS: (ALL, NONE, TEAM, NONE),
    Permission.REMOVE_LIMITS: (ALL, NONE, NONE, NONE),
    Permission.OPERATE: (ALL, NONE, NONE, NONE),
}
CELLS = [(action, role, reach) for action, row in EXPECTED.items() for role, reach in zip(Role, row, strict=True)]


def somebody(role: Role, team: str | None = "team_a") -> Principal:
    return Principal("key:k", role, "user_a", team, "k")


@pytest.mark.parametrize(("action", "role", "reach"), CELLS)
def test_every_cell(action: Permission, role: Role, reach: Reach) -> None:
    if reach is NONE:
        with pytest.raises(NotPermitted, match=f"The role {role} may not"):
            permit(somebody(role), action)
        return
    assert permit(somebody(role), action) is reach
    assert covers(somebody(role), action, "user_a", "team_a")
    assert covers(somebody(role), action, "user_b", "team_a") is (reach in (ALL, TEAM))
    assert covers(somebody(role), action, "user_b", "team_b") is (reach is ALL)
    assert covers(somebody(role), action, "user_b", None) is (reach is ALL)


def test_no_action_is_left_out() -> None:
    assert set(EXPECTED) == set(Permission) == set(PERMISSIONS)
    assert all(set(reaches) == set(Role) for reaches in PERMISSIONS.values())


@pytest.mark.parametrize("action", Permission)
def test_a_terminal_on_the_server_may_do_everything(action: Permission) -> None:
    assert permit(None, action) is ALL
    assert covers(None, action, "user_a", None)


def test_a_lead_of_no_team_is_a_member() -> None:
    lead = somebody(Role.LEAD, team=None)
    assert permit(lead, Permission.READ_USAGE) is OWN
    assert not covers(lead, Permission.READ_USAGE, "user_b", None)
    with pytest.raises(NotPermitted, match="role member"):
        permit(lead, Permission.MINT_KEYS)


def test_the_page_has_the_table() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == page_with_table(page), "run `.venv/bin/python -m tests.admin.access.roles_page`"
