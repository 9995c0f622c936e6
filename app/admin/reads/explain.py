"""The use case of a hypothetical request: what would be held at most, each limit that applies, which one refuses."""

from dataclasses import dataclass
from typing import Any

from app.admin.access.reaching import key_for, user_for
from app.admin.operator import Operator
from app.admin.views import forecast_json
from app.errors import InvalidValue
from app.images.cost.pricing import estimate
from app.images.request.normalize import ImageRequest
from app.quotas.reports.forecast import Forecast, forecast
from app.quotas.rules.applicable import Party
from app.quotas.rules.reservation import Amounts


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
