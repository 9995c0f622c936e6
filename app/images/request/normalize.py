"""One image request: finds its model, checks every rule, and translates it into today's parameters. Decides before
anything is reserved or sent. Knows no caller, no quota, no HTTP.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from app.errors import ModelNotFound
from app.images.catalog.catalog import Catalog, CatalogError, ModelSpec
from app.images.catalog.model_spec import (
    AUTO,
    INPUT_FIDELITIES,
    INPUT_IMAGES_MAX,
    MODEL_ID_MAX,
    PARTIAL_IMAGES_MAX,
    EditRules,
    FlatTokens,
)
from app.images.catalog.sizes import AnySize
from app.images.request.checks import USER_ERROR, refusal, shown, wrong_type
from app.images.request.compatibility import B64_JSON, modernize, response_format
from app.images.request.inputs import Inputs, check_inputs
from app.images.request.parameters import (
    DOCUMENTED,
    FRAMES_MAX,
    NULL_MEANS_OMITTED,
    check_names,
    check_prompt,
    check_together,
    check_values,
)

_UNLISTED_NAME = re.compile(
    rf"(?=.{{1,{MODEL_ID_MAX}}}\Z)([A-Za-z0-9][A-Za-z0-9._-]{{0,49}}/)?[A-Za-z0-9][A-Za-z0-9._-]{{0,99}}"
)


@dataclass(frozen=True, slots=True)
class RequestPolicy:
    """The operator's choices about requests.

    `lenient`: what old clients send is translated. `default_model`: for requests that name none. `successor_model`:
    what the names of models that are gone mean in lenient mode; None leaves it to the catalog.
    `unknown_model_hold_nanousd`: held for each image of a model the catalog does not list; None refuses such models.
    `default_response_format`: `b64_json`, `url` or `auto`, as for `response_format` of compatibility.py.
    Raises CatalogError when a model named here is none that a request could have.
    """

    catalog: Catalog
    lenient: bool
    default_model: str | None
    successor_model: str | None
    unknown_model_hold_nanousd: int | None
    default_response_format: str = "auto"

    def __post_init__(self) -> None:
        whose = "successor"
        try:
            if self.successor_model is not None:
                _find(self.successor_model, self)
            whose = "default"
            if self.default_model is not None:
                _choose(self.default_model, self, date.min)
        except ModelNotFound as error:
            raise CatalogError(f"The {whose} model cannot be served: {error.message}") from None


@dataclass(slots=True)  # not frozen: that takes four times as long to make, and every request makes one
class ImageRequest:
    """A request that breaks no known rule. Never changed once it is made.

    `fields` is exactly what is sent upstream as JSON, with the full model id and without nulls that mean "omitted".
    `changes` lists what was dropped, mapped or forwarded, each like `quality=hd->high`. `size` and `quality` are `auto`
    if omitted. `partial_images` and `frames` (1 for a still image) are the most that the answer may hold.
    `response_format` is `b64_json` or `url`; `is_format_chosen`: by the request itself. `link_base` is what links to
    its images begin with: whoever knows the gateway's address adds it.
    """

    operation: str
    model: ModelSpec
    prompt: str = field(repr=False)
    n: int
    size: str
    quality: str
    stream: bool
    partial_images: int
    frames: int
    input_image_count: int  # a mask or a markup is none: they are billed nowhere
    fields: Mapping[str, object] = field(repr=False)
    changes: tuple[str, ...]
    response_format: str = B64_JSON
    is_format_chosen: bool = False
    link_base: str | None = None


def models_of(policy: RequestPolicy) -> tuple[ModelSpec, ...]:
    """Every model a request may ask for; where unlisted ones pass, the rules for those are the last."""
    hold_nanousd = policy.unknown_model_hold_nanousd
    if hold_nanousd is None:
        return policy.catalog.models
    return (*policy.catalog.models, _unlisted("unlisted", hold_nanousd, policy.catalog))


def normalize(
    fields: Mapping[str, object], policy: RequestPolicy, today: date, inputs: Inputs | None = None
) -> ImageRequest:
    """The request that the fields ask for: an edit of `inputs`, or else a generation. Idempotent on the `fields` it
    returns. `today` is the day in UTC: models end.

    Checks in OpenAI's order: model, unknown names, prompt, images, n, the rest, then rules between fields. Raises
    ModelNotFound, and InvalidRequest for the first rule that is broken.
    """
    spec, changes = _model_asked(fields, policy, today)
    if inputs is not None and spec.edits is None:
        message = f"The model '{shown(spec.name)}' edits no images."
        raise refusal("model", "invalid_value", message, USER_ERROR)
    asked: Mapping[str, object] = fields
    if policy.lenient:
        asked, translated = modernize(fields, spec, is_edit=inputs is not None)
        changes += translated
    forwarded = check_names(asked, spec, may_forward=policy.lenient, is_edit=inputs is not None)
    if forwarded:
        changes += tuple(f"{name}=forwarded" for name in forwarded)
    given = {name: value for name, value in asked.items() if value is not None or name not in NULL_MEANS_OMITTED}
    check_prompt(given, spec)
    if inputs is not None:
        check_inputs(inputs, spec)
    check_values(given, spec)
    check_together(given, spec)
    stream = given.get("stream") is True
    animated = given.get("output_format") == "gif"
    how, is_chosen = response_format(fields, spec, policy.default_response_format)
    return ImageRequest(
        operation="generation" if inputs is None else "edit",
        model=spec,
        prompt=str(given["prompt"]),
        n=_integer(given, "n", 1),
        size=str(given.get("size", AUTO)),
        quality=str(given.get("quality", AUTO)),
        stream=stream,
        # A stream that names no number of partial images was once seen to bring one.
        partial_images=_integer(given, "partial_images", spec.partial_images_max if stream else 0),
        frames=_integer(given, "frame_count", FRAMES_MAX) if animated else 1,
        input_image_count=0 if inputs is None else len(inputs.images),
        fields=given | {"model": spec.id},
        changes=changes,
        response_format=how,
        is_format_chosen=is_chosen,
    )


def _integer(given: Mapping[str, object], name: str, default: int) -> int:
    value = given.get(name, default)
    assert isinstance(value, int), "check_values has seen it"
    return value


def _model_asked(fields: Mapping[str, object], policy: RequestPolicy, today: date) -> tuple[ModelSpec, tuple[str, ...]]:
    if "model" not in fields:
        if policy.default_model is None:
            raise refusal("model", "missing_required_parameter", "Missing required parameter: 'model'.")
        spec = _choose(policy.default_model, policy, today)
        return spec, (f"model=omitted->{spec.name}",)
    name = fields["model"]
    if not isinstance(name, str):
        raise wrong_type("model", "a string", name)
    spec = _choose(name, policy, today)
    return spec, () if name in (spec.id, spec.name) else (f"model={name}->{spec.name}",)


def _choose(name: str, policy: RequestPolicy, today: date) -> ModelSpec:
    """The model of that name; in lenient mode the successor of one that is gone. Raises ModelNotFound."""
    spec = policy.catalog.find(name)
    if spec is not None and not spec.has_ended(today):
        return spec
    if spec is None and not policy.catalog.is_dead(name):
        return _find(name, policy)
    successor = successor_of(spec, policy, today)
    if successor is not None and policy.lenient:
        return successor
    raise model_gone(name, spec, successor)


def model_gone(name: str, spec: ModelSpec | None, successor: ModelSpec | None) -> ModelNotFound:
    """The refusal of a model that has ended, or (None) of a retired one."""
    why = "It is retired" if spec is None else f"It ended on {spec.ends_on}"
    instead = "nothing takes its place" if successor is None else f"use '{successor.name}'"
    return ModelNotFound(f"The model '{shown(name)}' does not exist. {why}: {instead}.")


def successor_of(spec: ModelSpec | None, policy: RequestPolicy, today: date) -> ModelSpec | None:
    """What the name of a model that has ended, or (None) of a retired one, means today: the operator's choice, else the
    entry's own, else the catalog's. None when each of them has ended, too."""
    chosen = None if policy.successor_model is None else _find(policy.successor_model, policy)
    named = ((spec.successor if spec else None) or "", policy.catalog.successor)
    candidates = (chosen, *map(policy.catalog.find, named))
    return next((each for each in candidates if each is not None and not each.has_ended(today)), None)


def _find(name: str, policy: RequestPolicy) -> ModelSpec:
    """A listed model, or an unlisted one if the operator allows those. Raises ModelNotFound."""
    spec, hold_nanousd = policy.catalog.find(name), policy.unknown_model_hold_nanousd
    if spec is not None:
        return spec
    well_formed = len(name) <= MODEL_ID_MAX and _UNLISTED_NAME.fullmatch(name)
    if hold_nanousd is None or not well_formed or policy.catalog.resembles_listed(name):
        raise ModelNotFound(f"The model '{shown(name)}' does not exist.")
    return _unlisted(name, hold_nanousd, policy.catalog)


def _unlisted(name: str, hold_nanousd: int, catalog: Catalog) -> ModelSpec:
    """A model of which nothing is known: types are checked, words are passed on, and the operator sets the hold."""
    return ModelSpec(
        id=name,
        name=name,
        aliases=(),
        created=0,
        owned_by=name.split("/", maxsplit=1)[0],
        ends_on=None,
        successor=None,
        parameters=DOCUMENTED,
        open=True,
        prompt_chars_max=32_000,
        n_max=10,
        sizes=AnySize(),
        qualities=(),
        auto_quality=AUTO,
        output_formats=(),
        backgrounds=(),
        transparent_background=True,
        moderations=(),
        partial_images_max=PARTIAL_IMAGES_MAX,
        edits=EditRules(images_max=INPUT_IMAGES_MAX, input_fidelity=INPUT_FIDELITIES, markup=True),
        token_rule=FlatTokens(catalog.unlisted_image_tokens),
        text_output_tokens_max=0,
        input_image_tokens_max=7000,
        prices=None,
        hold_nanousd=hold_nanousd,
        listed=False,
    )
