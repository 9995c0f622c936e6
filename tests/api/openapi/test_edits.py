"""What the document says of edits, held to the rules they are read by."""

from jsonschema_rs import Draft202012Validator

from app.api.openapi.edits import edit_examples, edit_form_schema, edit_schema
from app.images.catalog.catalog import load_catalog
from app.images.request.normalize import RequestPolicy

POLICY = RequestPolicy(
    load_catalog(), lenient=True, default_model=None, successor_model="gpt-image-2", unknown_model_hold_nanousd=None
)


def test_examples_are_of_the_schema() -> None:
    validator = Draft202012Validator(edit_schema(POLICY))
    for example in edit_examples(POLICY).values():
        validator.validate(example["value"])
    assert not validator.is_valid({"model": "gpt-image-2", "prompt": "A fox"})


def test_a_form_has_files() -> None:
    properties = edit_form_schema(POLICY)["properties"]
    assert {"image", "image[]", "mask", "markup", "prompt", "input_fidelity"} <= properties.keys()
