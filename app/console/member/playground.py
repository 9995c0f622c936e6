"""Playground: an image request tried in the browser, charged to one of the visitor's own keys. It knows no rule of
requests, limits or prices: it asks what /v1/images/generations and /v1/images/edits ask, and hands over to the same
exchange.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from app.admin.access.own_keys import caller_of_own_key
from app.admin.keys import list_keys
from app.admin.views import KeyView
from app.api.edits.reading import EditBody, EditBounds, read_edit
from app.api.endpoints.dry_run import foreseen
from app.api.endpoints.images import checked_request, edit_of, generation_of
from app.api.error_responses import wire_error
from app.api.services import noted
from app.console.member.asked import asked_fields, chosen_fields
from app.console.member.described import described_inputs
from app.console.web.forms import NO_FORM, Form, read_form
from app.console.web.snippets import snippets_of_request
from app.console.web.visit import Visit
from app.errors import GatewayError
from app.files.uploads import UploadFile
from app.identity.keys.authentication import Caller
from app.images.catalog.model_spec import INPUT_IMAGES_MAX, ModelSpec
from app.images.catalog.sizes import SizeList

PATH = "/console/me/playground"
_SIZES = ("auto", "1024x1024", "1536x1024", "1024x1536", "2048x2048", "3840x2160", "2160x3840")


async def show_playground(visit: Visit) -> Response:
    """The empty form."""
    return await _page(visit, NO_FORM, {})


async def foresee(visit: Visit) -> Response:
    """What the request in the form would cost and meet, and the same request as a program. Buys nothing."""
    form = await read_form(visit.request, visit.services.settings.body_bytes_max)
    if not form.get("prompt"):
        return await _page(visit, form, {})
    found: dict[str, Any] = {}
    try:
        fields, described = asked_fields(form), described_inputs(form)
        files, inputs = (described.files, described.inputs) if described else (None, None)
        caller = await _caller(visit, form.get("key"))
        asked = checked_request(visit.request, caller, fields, inputs)
        # Only now: the check bounds the prompt, and a megabyte of quotes would take a second to be written as programs.
        found["snippets"] = snippets_of_request(visit, fields, files)
        found["foreseen"] = await foreseen(visit.services, caller, asked)
    except GatewayError as error:
        found["fault"] = wire_error(error)
    return await _page(visit, form, found)


async def make_image(visit: Visit) -> Response:
    """Buys what the form asks for. The answer is that of /v1/images/generations: a document or a stream."""
    form = await read_form(visit.request, visit.services.settings.body_bytes_max)
    caller = noted(visit.request, await _caller(visit, form.get("key")))

    async def read(_: Request, __: int) -> dict[str, object]:
        return asked_fields(form)

    return await visit.services.receive(generation_of(visit.request, caller, read))


async def edit_images(visit: Visit) -> Response:
    """Buys the edit that the form asks for. The key's id is in the address: nothing of an upload is read before it is
    known whose it is. The answer is that of /v1/images/edits."""
    caller = noted(visit.request, await _caller(visit, visit.asked("key")))

    async def read(request: Request, upload: UploadFile, bounds: EditBounds) -> EditBody:
        body = await read_edit(request, upload, bounds)
        return replace(body, fields=chosen_fields(body.fields))

    return await visit.services.receive(edit_of(visit.request, caller, read))


async def _caller(visit: Visit, key_id: str) -> Caller:
    return await visit.read(lambda operator: caller_of_own_key(operator, key_id))


async def _page(visit: Visit, form: Form, found: dict[str, Any]) -> Response:
    keys = await _usable_keys(visit)
    services = visit.services
    models = [spec for spec in services.policy.catalog.models if not spec.has_ended(services.today)]
    default = services.settings.default_model
    return visit.page(
        "playground_part.html" if visit.is_partial else "playground.html",
        keys=keys,
        form=form,
        models=[spec.name for spec in models],
        default_model=next((spec.name for spec in models if default in (spec.name, spec.id)), None),
        sizes=_sizes(models),
        qualities=_words(spec.qualities for spec in models),
        backgrounds=_words(spec.backgrounds for spec in models),
        kept_seconds=services.settings.files_seconds,
        formats=_words(spec.output_formats for spec in models),
        fidelities=_words(spec.edits.input_fidelity for spec in models if spec.edits),
        input_images_max=INPUT_IMAGES_MAX,
        **{"foreseen": None, "fault": None, "snippets": None, **found},
    )


async def _usable_keys(visit: Visit) -> list[KeyView]:
    user_id, now = visit.user_id, visit.now
    keys = await visit.read(lambda operator: list_keys(operator, user_id))
    return [view for view in keys if view.state(now) == "active"]


def _sizes(models: Iterable[ModelSpec]) -> list[str]:
    listed = [size for spec in models if isinstance(spec.sizes, SizeList) for size in spec.sizes.values]
    return _words([_SIZES, tuple(listed)])


def _words(of_models: Iterable[tuple[str, ...]]) -> list[str]:
    """Every word once, in the order of the models."""
    return list(dict.fromkeys(word for words in of_models for word in words))


PAGES = (("GET", PATH, show_playground, None), ("POST", PATH, foresee, None))
CALLS = (("POST", f"{PATH}/images", make_image), ("POST", f"{PATH}/edits", edit_images))
"""What a script of ours calls: it reads errors in OpenAI's envelope."""
