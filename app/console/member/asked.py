"""The fields of an image request out of the playground's form: the same names, as the API takes them. Pure."""

from collections.abc import Mapping

from app.console.web.forms import Form
from app.images.request.form_values import typed_fields

_NAMES = (
    *("prompt", "model", "size", "quality", "n", "background", "output_format", "output_compression"),
    *("stream", "partial_images", "input_fidelity"),
)
_KEEP = "keep"


def asked_fields(form: Form) -> dict[str, object]:
    """What the form asks for; an empty field is an absent one. Raises InvalidRequest for a number that is none."""
    return chosen_fields(typed_fields({name: form.get(name) for name in (*_NAMES, _KEEP)}))


def chosen_fields(given: Mapping[str, object]) -> dict[str, object]:
    """The same, out of fields that are typed already: without those that are the page's own."""
    fields = {name: given[name] for name in _NAMES if name in given}
    if isinstance(prompt := fields.get("prompt"), str):
        fields["prompt"] = prompt.replace("\r\n", "\n")
    if not fields.get("stream"):
        fields.pop("partial_images", None)
    if given.get(_KEEP):
        fields["response_format"] = "url"
    return fields
