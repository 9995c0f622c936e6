"""normalize, for edits: what old clients' words come to in a form, and input_fidelity for every model."""

from typing import Any

import pytest

from app.errors import InvalidRequest
from app.images.catalog.catalog import load_catalog
from app.images.request.form_values import typed_fields
from app.images.request.image_head import ImageHead
from app.images.request.inputs import Inputs
from app.images.request.normalize import ImageRequest, RequestPolicy, normalize
from tests.days import TODAY

CATALOG = load_catalog('[models.draws]\nid = "x/draws"\nparameters = ["n"]\nhold_usd = "1"\n')
PNG = ImageHead("png", 64, 64, has_alpha=False)
OVERLAY = ImageHead("png", 64, 64, has_alpha=True)


def asked(fields: dict[str, str], *, lenient: bool = True, inputs: Inputs | None = None) -> ImageRequest:
    """An edit with these fields of a form."""
    rules = RequestPolicy(CATALOG, lenient, None, None, 50_000_000)
    whole = {"model": "gpt-image-2", "prompt": "a fox"} | fields
    return normalize(typed_fields(whole), rules, TODAY, inputs or Inputs([PNG, PNG]))


def refused(fields: dict[str, str], *, lenient: bool = True, inputs: Inputs | None = None) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        asked(fields, lenient=lenient, inputs=inputs)
    return caught.value


def test_an_edit_knows_its_images() -> None:
    edit = asked({"n": "3"}, inputs=Inputs([PNG, None], mask=OVERLAY))
    assert (edit.operation, edit.input_image_count, edit.n, edit.changes) == ("edit", 2, 3, ())
    assert edit.fields == {"model": "openai/gpt-image-2", "prompt": "a fox", "n": 3}


NEWER = [spec.name for spec in CATALOG.models if spec.edits is not None and not spec.edits.input_fidelity]
BOTH = ["gpt-image-1.5", "chatgpt-image-latest", "bfl/flux-9"]


@pytest.mark.parametrize("fidelity", ["high", "low"])
@pytest.mark.parametrize("name", NEWER)
def test_input_fidelity_is_dropped_where_every_detail_is_kept(name: str, fidelity: str) -> None:
    edit = asked({"model": name, "input_fidelity": fidelity})
    assert "input_fidelity" not in edit.fields
    assert edit.changes == ("input_fidelity=dropped",)
    error = refused({"model": name, "input_fidelity": fidelity}, lenient=False)
    assert (error.param, error.code) == ("input_fidelity", "invalid_input_fidelity_model")


def test_the_newer_models_are_those() -> None:
    assert {"gpt-image-2", "gpt-image-2.5-flare", "gpt-image-2.6-sunburst"} <= set(NEWER)
    assert not {"draws", *BOTH} & set(NEWER)


@pytest.mark.parametrize("lenient", [False, True])
@pytest.mark.parametrize(
    ("name", "fidelity"), [*((name, how) for name in BOTH for how in ("high", "low")), ("gpt-image-1-mini", "low")]
)
def test_input_fidelity_is_sent_where_a_model_takes_it(name: str, fidelity: str, lenient: bool) -> None:
    edit = asked({"model": name, "input_fidelity": fidelity}, lenient=lenient)
    assert edit.fields["input_fidelity"] == fidelity
    assert edit.changes == ()


@pytest.mark.parametrize(
    ("name", "fidelity"), [("gpt-image-1-mini", "high"), ("gpt-image-1.5", "medium"), ("gpt-image-2", "medium")]
)
def test_other_words_for_input_fidelity_are_refused(name: str, fidelity: str) -> None:
    error = refused({"model": name, "input_fidelity": fidelity})
    assert (error.param, error.code) == ("input_fidelity", "invalid_value")


@pytest.mark.parametrize(
    ("sent", "becomes", "changes"),
    [
        ({"style": "vivid"}, {}, ("style=dropped",)),
        ({"quality": "standard"}, {"quality": "medium"}, ("quality=standard->medium",)),
        ({"quality": "hd"}, {"quality": "high"}, ("quality=hd->high",)),
        ({"response_format": "b64_json"}, {}, ("response_format=dropped",)),
        ({"size": "256x256"}, {"size": "1024x1024"}, ("size=256x256->1024x1024",)),
        ({"moderation": "low"}, {"moderation": "low"}, ()),
        ({"moderation": "auto"}, {"moderation": "auto"}, ()),
        ({"style": "", "quality": "", "moderation": "", "input_fidelity": "", "response_format": ""}, {}, ()),
        (
            {"style": "natural", "quality": "standard", "moderation": "low", "input_fidelity": "high"},
            {"quality": "medium", "moderation": "low"},
            ("style=dropped", "input_fidelity=dropped", "quality=standard->medium"),
        ),
    ],
)
def test_words_of_forms(sent: dict[str, str], becomes: dict[str, Any], changes: tuple[str, ...]) -> None:
    edit = asked(sent)
    assert edit.fields == {"model": "openai/gpt-image-2", "prompt": "a fox", **becomes}
    assert edit.changes == changes


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ({"style": "vivid"}, "unknown_parameter"),
        ({"quality": "standard"}, "invalid_value"),
        ({"response_format": "b64_json"}, "unknown_parameter"),
        ({"moderation": "high"}, "invalid_value"),
        ({"complexity": "high"}, "unknown_parameter"),
    ],
)
def test_a_strict_gateway_refuses_them(sent: dict[str, str], code: str) -> None:
    error = refused(sent, lenient=False)
    assert (error.param, error.code) == (*sent, code)
    assert asked({"moderation": "low"}, lenient=False).fields["moderation"] == "low"


def test_what_a_model_cannot_do_with_images() -> None:
    assert (refused({"model": "draws"}).param, refused({"model": "draws"}).code) == ("model", "invalid_value")
    marked = Inputs([PNG], markup=OVERLAY)
    assert (refused({}, inputs=marked).param, refused({}, inputs=marked).code) == ("markup", "unknown_parameter")
    assert asked({"model": "gpt-image-2.5-flare"}, inputs=marked).input_image_count == 1
    assert refused({}, inputs=Inputs([])).code == "missing_required_parameter"
