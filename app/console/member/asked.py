"""The fields of an image request out of the playground's form: the same names, as the API takes them. Pure."""

from app.console.web.forms import Form
from app.images.request.form_values import typed_fields

_NAMES = ("model", "size", "quality", "n", "background", "output_format", "output_compression", "stream")


def asked_fields(form: Form) -> dict[str, object]:
    """What the form asks for; an empty field is an absent one. Raises InvalidRequest for a number that is none."""
    texts = {"prompt": form.get("prompt").replace("\r\n", "\n"), **{name: form.get(name) for name in _NAMES}}
    if texts["stream"]:
        texts["partial_images"] = form.get("partial_images")
    if form.get("keep"):
        texts["response_format"] = "url"
    return typed_fields(texts)
