"""Use cases that explain limits: what of each is used and left; what a hypothetical request would meet."""

from dataclasses import dataclass
from typing import Any

from app.admin.access.reaching import key_for, user_for
from app.admin.limits import owner_names
from app.admin.operator import Operator
from app.admin.views import LimitStatusView, forecast_json
from app.errors import InvalidValue
from app.images.cost.pricing import estimate
from app.images.request.normalize import ImageRequest
from app.quotas.reports.forecast import Forecast, forecast
from app.quotas.reports.limit_status import limit_status_of_key
from app.quotas.rules.applicable import Party
from app.quotas.rules.reservation import Amounts


@dataclass(frozen=True, slots=True)
class Explanation:
    """Every limit that applies to one key or user, the key's own first, the gateway's last."""

    whose: str
    statuses: tuple[LimitStatusView, ...]


@dataclass(frozen=True, slots=True)
class ExplainedRequest:
    """`refusal` of the forecast None: it would be admitted, if the model is allowed."""

    user: str
    key_id: str | None
    request: ImageRequest
    model_allowed: bool
    found: Forecast

    def as_json(self) -> dict[str, Any]:
        foreseen = forecast_json(self.request, self.found)
        refusal = self.found.refusal
        return {
            "user": self.user,
            "key_id": self.key_id,
            "model": self.request.model.id,
            "model_allowed": self.model_allowed,
            "size": self.request.size,
            "quality": self.request.quality,
            "refusal": None if refusal is None else refusal.message,
            **foreseen,
            "admitted": foreseen["admitted"] and self.model_allowed,
        }


def explain_request(
    operator: Operator, request: ImageRequest, *, user: str | None = None, key_id: str | None = None
) -> ExplainedRequest:
    """What the request of a user, or of one of their keys, would meet now. Which account it would go to is not known
    beforehand, so limits of accounts are left out.

    Raises NotFound; InvalidValue unless one of the two is named.
    """
    if (user is None) == (key_id is None):
        raise InvalidValue("Say whose request: name either a user or a key.")
    most = estimate(request)
    amounts = Amounts(1, most.images, most.tokens, most.nanousd)
    with operator.reading() as connection:
        key = key_for(operator, connection, key_id) if key_id is not None else None
        owner = user_for(operator, connection, key.user_id if key else str(user))
        party = Party(key.id if key else "", owner.id, owner.team_id, request.model.id, account="")
        found = forecast(connection, party, amounts, operator.now)
    is_allowed = key is None or key.models is None or request.model.id in key.models
    return ExplainedRequest(owner.name, key.id if key else None, request, is_allowed, found)


def explain_key(operator: Operator, key_id: str) -> Explanation:
    """The limits that apply to a key, and how much of each is used and left. Raises NotFound."""
    with operator.reading() as connection:
        key = key_for(operator, connection, key_id)
        owner = user_for(operator, connection, key.user_id)
        found = limit_status_of_key(connection, key.id, owner.id, owner.team_id, operator.now)
        names = owner_names(connection)
    mine = [status for status in found if status.may_apply_to(key.models)]
    return Explanation(key.id, tuple(LimitStatusView(status, names.get(status.limit.scope_id)) for status in mine))


def explain_user(operator: Operator, name: str) -> Explanation:
    """The limits that apply to every key of a user, and how much of each is used and left. Raises NotFound."""
    with operator.reading() as connection:
        owner = user_for(operator, connection, name)
        # No key has the empty id, so only the wider scopes match.
        found = limit_status_of_key(connection, "", owner.id, owner.team_id, operator.now)
        names = owner_names(connection)
    return Explanation(owner.name, tuple(LimitStatusView(each, names.get(each.limit.scope_id)) for each in found))
