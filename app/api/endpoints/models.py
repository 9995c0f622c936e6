"""/v1/models: the catalog in OpenAI's form, limited to the models that the caller's key may use."""

from typing import Any

from fastapi import APIRouter, Request

from app.api.routes import MODELS
from app.api.services import authenticated, services_of
from app.errors import ModelNotFound
from app.images.catalog.catalog import ModelSpec
from app.images.request.normalize import model_gone, successor_of

router = APIRouter(prefix=MODELS)


@router.get("")
async def list_models(request: Request) -> dict[str, Any]:
    """The models this key may use."""
    caller = await authenticated(request)
    services = services_of(request)
    living = [spec for spec in services.policy.catalog.models if not spec.has_ended(services.today)]
    return {"object": "list", "data": [_model(spec) for spec in living if caller.may_use(spec.id)]}


@router.get("/{model_id:path}")
async def retrieve_model(request: Request, model_id: str) -> dict[str, Any]:
    """One model, by its name, its full id or an alias."""
    caller = await authenticated(request)
    services = services_of(request)
    spec = services.policy.catalog.find(model_id)
    if spec is None or not caller.may_use(spec.id):
        raise ModelNotFound(f"The model {model_id[:80]!a} does not exist, or your key may not use it.")
    if spec.has_ended(services.today):
        raise model_gone(model_id, spec, successor_of(spec, services.policy, services.today))
    return _model(spec)


def _model(spec: ModelSpec) -> dict[str, Any]:
    return {
        "id": spec.name,
        "object": "model",
        "created": spec.created,
        "owned_by": spec.owned_by,
        "shutdown_date": spec.ends_on and spec.ends_on.isoformat(),
    }
