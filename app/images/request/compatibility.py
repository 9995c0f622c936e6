"""What older clients send, and what it means today. Lenient mode only. Every change is reported, none is guessed."""

from collections.abc import Mapping

from app.images.catalog.model_spec import INPUT_FIDELITIES, ModelSpec
from app.images.catalog.sizes import BELOW_MINIMUM, SizeBounds, SizeList, parse_size
from app.images.request.checks import check_choice, refusal

OLD_PARAMETERS = ("style", "response_format")
OLD_QUALITIES = {"hd": "high", "standard": "medium"}
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

    Changes only what the model itself would refuse. Idempotent. Raises InvalidRequest for a `response_format` that the
    gateway cannot give.
    """
    modern, changes = dict(fields), []
    for name in OLD_PARAMETERS:
        if name not in modern or name in spec.parameters:
            continue
        value = modern.pop(name)
        if name == "response_format" and value is not None:
            _refuse_other_than_b64_json(value)
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


def _refuse_other_than_b64_json(value: object) -> None:
    if value == "url":
        message = "This gateway gives no URLs: leave 'response_format' out and read 'b64_json' from the answer."
        raise refusal("response_format", "unsupported_value", message)
    check_choice("response_format", value, ("b64_json",))


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
