"""What older clients send, and what it means today. Lenient mode only. Every change is reported, none is guessed."""

from collections.abc import Mapping

from app.images.catalog.model_spec import INPUT_FIDELITIES, ModelSpec
from app.images.catalog.sizes import BELOW_MINIMUM, SizeBounds, SizeList, parse_size
from app.images.request.checks import check_choice

OLD_PARAMETERS = ("style", "response_format")
OLD_QUALITIES = {"hd": "high", "standard": "medium"}
B64_JSON, URL = "b64_json", "url"
RESPONSE_FORMATS = (B64_JSON, URL)
_ANSWERED_URL = "dall-e-"  # models of this name answered with links, unless the request said otherwise
_DALLE_SIZES = {
    "256x256": "1024x1024",
    "512x512": "1024x1024",
    "1792x1024": "1536x1024",
    "1024x1792": "1024x1536",
}


def modernize(
    fields: Mapping[str, object], spec: ModelSpec, *, is_edit: bool = False
) -> tuple[dict[str, object], tuple[str, ...]]:
    """The fields with retired parameters dropped and retired values replaced, and what was changed.

    Changes only what the model itself would refuse. Idempotent. A `response_format` is the gateway's to give: it is
    never sent on. Raises InvalidRequest for one that never was.
    """
    modern, changes = dict(fields), []
    for name in OLD_PARAMETERS:
        if name not in modern or name in spec.parameters:
            continue
        value = modern.pop(name)
        if name == "response_format" and value is not None and check_choice(name, value, RESPONSE_FORMATS) == URL:
            continue
        changes.append(f"{name}=dropped")
    if "input_fidelity" in modern and spec.edits is not None and not spec.edits.input_fidelity and is_edit:
        check_choice("input_fidelity", modern.pop("input_fidelity") or "high", INPUT_FIDELITIES)
        changes.append("input_fidelity=dropped")  # newer models keep every detail, and refuse the word for it
    for name, meaning in (("quality", _quality_today), ("size", _size_today)):
        value = modern.get(name)
        if isinstance(value, str):
            today = meaning(value, spec)
            if today != value:
                modern[name] = today
                changes.append(f"{name}={value}->{today}")
    return modern, tuple(changes)


def response_format(fields: Mapping[str, object], spec: ModelSpec, default: str) -> tuple[str, bool]:
    """How the images of a request come, `b64_json` or `url`, and whether the request itself says so. `default` is for
    one that does not: either of them, or `auto`.
    """
    value = None if "response_format" in spec.parameters else fields.get("response_format")
    if value is not None:
        return str(value), True
    if default in RESPONSE_FORMATS:
        return default, False
    name = fields.get("model")
    answered_url = isinstance(name, str) and name.rpartition("/")[2].lower().startswith(_ANSWERED_URL)
    return URL if answered_url and fields.get("stream") is not True else B64_JSON, False


def _quality_today(quality: str, spec: ModelSpec) -> str:
    successor = OLD_QUALITIES.get(quality)
    return successor if successor in spec.qualities and quality not in spec.qualities else quality


def _size_today(size: str, spec: ModelSpec) -> str:
    rule = spec.sizes
    if isinstance(rule, SizeList):
        successor = _DALLE_SIZES.get(size)
        return successor if successor in rule.values and size not in rule.values else size
    if isinstance(rule, SizeBounds):
        edges = parse_size(size)
        if edges and rule.fault(*edges) == BELOW_MINIMUM and rule.fault(1024, 1024) is None:
            return "1024x1024"
    return size
