"""What a lead may set: limits of others in the team, never above the team's own."""

import pytest

from app.admin.access.leads import check_amounts, check_new_key, check_owner
from app.errors import NotPermitted
from app.identity.people.principal import Principal
from app.identity.people.roles import Role
from app.quotas.rules.limits import Limit, Scope, parse_limit

LENA = Principal("key:k", Role.LEAD, "user_lena", "team_a", "k")
TEAM = ("images:50/day", "usd:20/month", "usd:5/month@m")


def limit(written: str, scope: Scope = Scope.USER, *, shadow: bool = False) -> Limit:
    return parse_limit(written).on(scope, "x", shadow=shadow)


@pytest.mark.parametrize(
    ("written", "present", "allowed"),
    [
        ("images:50/day", (), True),
        ("images:51/day", (), False),
        ("images:51/day", ("images:99/day",), False),  # not even where it is higher now
        ("images:50/day@m", (), True),  # a team's limit for every model bounds those of one
        ("images:51/day@m", (), False),
        ("usd:6/month@m", (), False),  # the tighter of two
        ("usd:20/month", (), True),
        ("usd:20.000000001/month", (), False),
        ("images:99/week", (), True),  # the team has none for a week: a new limit only takes away
        ("images:99/week", ("images:98/week",), False),
        ("images:98/week", ("images:99/week",), True),
        ("images:98/week@m", ("images:9/week",), True),
        ("concurrent:3", ("concurrent:2",), False),
    ],
)
def test_how_high(written: str, present: tuple[str, ...], allowed: bool) -> None:
    now, teams = [limit(each) for each in present], [limit(each, Scope.TEAM) for each in TEAM]
    if allowed:
        check_amounts(LENA, [limit(written)], now, teams)
        return
    with pytest.raises(NotPermitted, match="Ask an admin for more"):
        check_amounts(LENA, [limit(written)], now, teams)
    check_amounts(None, [limit(written)], now, teams)
    check_amounts(Principal("admin-key", Role.ADMIN), [limit(written)], now, teams)


def test_a_team_limit_that_only_counts_is_no_bound_and_no_lead_makes_one() -> None:
    teams = [limit("images:5/day", Scope.TEAM, shadow=True)]
    check_amounts(LENA, [limit("images:9/day")], [], teams)
    with pytest.raises(NotPermitted, match="shadow"):
        check_amounts(LENA, [limit("images:1/day", shadow=True)], [], teams)


def test_whose() -> None:
    check_owner(LENA, Scope.USER, "user_mia")
    check_owner(LENA, Scope.KEY, "user_mia")
    for scope in (Scope.USER, Scope.KEY):
        with pytest.raises(NotPermitted, match="of their own"):
            check_owner(LENA, scope, "user_lena")
    for scope in (Scope.TEAM, Scope.GATEWAY, Scope.DEFAULT, Scope.ACCOUNT):
        with pytest.raises(NotPermitted, match="users and keys"):
            check_owner(LENA, scope, None)
        check_owner(None, scope, None)


def test_a_key_of_the_own_is_made_by_whoever_may_change_it() -> None:
    check_new_key(LENA, "user_mia")
    with pytest.raises(NotPermitted, match="Ask an admin"):
        check_new_key(LENA, "user_lena")
    check_new_key(Principal("key:k", Role.ADMIN, "user_lena", "team_a", "k"), "user_lena")
    check_new_key(None, "user_lena")
