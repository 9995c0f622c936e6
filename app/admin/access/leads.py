"""How far a team lead may go: keys and limits of others in the team, and never above what the team may use. Pure."""

from collections.abc import Iterable, Sequence

from app.admin.access.permissions import Permission, Reach, permit
from app.errors import NotPermitted
from app.identity.people.principal import Principal
from app.quotas.rules.limits import Limit, Scope, describe_amount, format_limit


def check_owner(principal: Principal | None, scope: Scope, user_id: str | None) -> None:
    """Whether somebody may set limits there: everybody who reaches all; a lead of users and keys that are not the
    lead's own. `user_id` is the user of a user's or key's limit. Raises NotPermitted.
    """
    if permit(principal, Permission.SET_LIMITS) is Reach.ALL or principal is None:
        return
    if scope not in (Scope.USER, Scope.KEY):
        raise NotPermitted(f"A lead sets limits of users and keys, not of {scope}. Ask an admin.")
    if user_id == principal.user_id:
        raise NotPermitted("Nobody sets limits of their own. Ask an admin.")


def check_new_key(principal: Principal | None, user_id: str) -> None:
    """Whether somebody may make a key of this user: a lead not one of the own, because the limits and models of the own
    keys, which others set, would not bind a new one. Raises NotPermitted.
    """
    if permit(principal, Permission.MINT_KEYS) is not Reach.ALL and principal and user_id == principal.user_id:
        raise NotPermitted("A lead makes no key of their own: no limit of the others would bind it. Ask an admin.")


def check_amounts(
    principal: Principal | None, wanted: Sequence[Limit], present: Sequence[Limit], teams: Iterable[Limit]
) -> None:
    """Whether somebody may set these limits where those are `present`: a lead at most as high as the limit of the team
    for the same unit and window, and where the team has none, not higher than now. Raises NotPermitted.
    """
    if permit(principal, Permission.SET_LIMITS) is Reach.ALL:
        return
    of_team = [limit for limit in teams if not limit.shadow]
    for limit in wanted:
        if limit.shadow:
            permit(principal, Permission.REMOVE_LIMITS)
        bounds = [each for each in of_team if _counts_the_same(each, limit) and each.model in ("", limit.model)]
        bounds = bounds or [each for each in present if _counts_the_same(each, limit) and each.model == limit.model]
        for bound in bounds:
            if max(limit.amount, limit.raised_amount or 0) > bound.amount:
                most = describe_amount(bound.unit, bound.amount)
                whose = "the team's limit" if bound.scope is Scope.TEAM else "the limit now"
                raise NotPermitted(
                    f"A lead may set {format_limit(limit)} to at most {most}, which is {whose}. Ask an admin for more."
                )


def _counts_the_same(one: Limit, other: Limit) -> bool:
    return one.unit is other.unit and one.window is other.window
