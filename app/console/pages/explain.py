"""The limit explainer: what a request of a user or of a key would be held for, and which limit would refuse it now."""

from starlette.responses import Response

from app.admin.access.permissions import Permission
from app.admin.reads.explain import explain_request
from app.console.web.visit import Visit
from app.errors import AdministrationError, CallerError
from app.images.request.form_values import typed_fields
from app.images.request.normalize import ImageRequest, normalize

PATH = "/console/limits/explain"
_FIELDS = ("model", "size", "quality", "n")


async def show_explainer(visit: Visit) -> Response:
    """The form; with somebody named in the address, also the answer. It reads only, so an answer has an address."""
    whose, owner = visit.asked("whose") or "user", visit.asked("owner")
    error, found = None, None
    if owner:
        try:
            request = _request(visit)
            named = {"key_id": owner} if whose == "key" else {"user": owner}
            found = await visit.read(lambda operator: explain_request(operator, request, **named))
        except (AdministrationError, CallerError) as refused:
            error = refused.message
    models = visit.services.policy.catalog.models
    return visit.page(
        "explain.html",
        200 if error is None else 400,
        asked={name: visit.asked(name) for name in _FIELDS},
        whose=whose,
        owner=owner,
        models=[spec.name for spec in models],
        qualities=list(dict.fromkeys(word for spec in models for word in spec.qualities)),
        explained=found,
        foreseen=None if found is None else found.as_json(),
        error=error,
    )


def _request(visit: Visit) -> ImageRequest:
    policy = visit.services.policy
    model = policy.default_model or policy.catalog.models[0].name
    fields = typed_fields({name: visit.asked(name) for name in _FIELDS})
    return normalize({"prompt": "-", "model": model, **fields}, policy, visit.services.today)


PAGES = (("GET", PATH, show_explainer, Permission.READ_PEOPLE),)
