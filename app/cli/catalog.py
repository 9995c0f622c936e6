"""`catalog`: what the models accept and cost, as this gateway knows them; and a check for files of one's own."""

from datetime import UTC, date
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.options import Json, commands
from app.cli.store import catalog_of, read_catalog, settings_of
from app.cli.terminal import PROGRAM, Terminal, say, show, show_json, show_table
from app.errors import CommandError
from app.images.catalog import Catalog, load_catalog
from app.images.model_spec import AUTO, ImagePrice, ModelSpec
from app.images.pricing import price
from app.images.sizes import SizeBounds, SizeList
from app.images.tokens import output_tokens
from app.images.usage import Usage
from app.quotas.limits import format_usd

app = commands("Show models, their rules and prices; check a catalog file.")

_EXAMPLE_SIZES = ("1024x1024", "1024x1536", "1536x1024", "2048x2048", "3840x2160")


@app.command("show")
def show_catalog(
    context: typer.Context,
    model: Annotated[str | None, typer.Argument(help="One model, by any of its names. Without it: all.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Show every model, or one of them with its rules and what its pictures cost.

    \b
    zenmux-gateway catalog show
    zenmux-gateway catalog show gpt-image-2
    """
    catalog = catalog_of(settings_of(context))
    today = Terminal.of(context).clock().astimezone(UTC).date()
    if model is not None:
        spec = _find(catalog, model)
        if as_json:
            show_json(_as_json(spec))
        else:
            _show_one(spec, today)
        return
    if as_json:
        show_json([_as_json(spec) for spec in catalog.models])
        return
    show_table(
        ["model", "sizes", "a 1024x1024 picture", "price", "ends"],
        [[spec.name, _sizes(spec), _span(spec), _prices(spec), _end(spec, today)] for spec in catalog.models],
    )
    say(f"More of one: {PROGRAM} catalog show MODEL")


@app.command()
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file meant for GATEWAY_CATALOG_FILE.")],
    *,
    as_json: Json = False,
) -> None:
    """Check a catalog file. Exit code 1, and the line at fault, when it is not right.

    \b
    zenmux-gateway catalog check models.toml
    """
    catalog, builtin = read_catalog(file, str(file)), load_catalog()
    changed = [spec for spec in catalog.models if builtin.find(spec.id) != spec]
    removed = [spec.name for spec in builtin.models if catalog.find(spec.id) is None]
    if as_json:
        show_json({"file": str(file), "changed": [_as_json(spec) for spec in changed], "removed": removed})
        return
    show(f"{file} is right. With it the catalog has {len(catalog.models)} models:")
    for spec in changed:
        show(f"  {'changed' if builtin.find(spec.id) else 'added'} {spec.name}, {_prices(spec)}")
    for name in removed:
        show(f"  removed {name}")
    if not changed and not removed:
        show("  nothing differs from the built-in catalog")


def _show_one(spec: ModelSpec, today: date) -> None:
    lines = {
        "sent as": spec.id,
        "also called": ", ".join(spec.aliases),
        "ends": _end(spec, today),
        "sizes": _sizes(spec),
        "qualities": ", ".join(spec.qualities) or "any",
        "formats": ", ".join(spec.output_formats) or "any",
        "backgrounds": ", ".join(
            name for name in spec.backgrounds if spec.transparent_background or name != "transparent"
        ),
        "pictures": f"at most {spec.n_max} a request",
        "prompt": f"at most {spec.prompt_chars_max:,} characters",
        "price": _prices(spec),
    }
    show(spec.name)
    for name, value in lines.items():
        if value:
            show(f"  {name:<12}{value}")
    rows = [(size, [_cost(spec, size, quality) for quality in _named_qualities(spec)]) for size in _EXAMPLE_SIZES]
    known = [
        [size, *(f"${format_usd(cost)}" for cost in costs if cost is not None)] for size, costs in rows if all(costs)
    ]
    if known and _named_qualities(spec):
        show("\nOutput of one picture; prompt and input images come on top:")
        show_table(["size", *_named_qualities(spec)], known, right=_named_qualities(spec))


def _named_qualities(spec: ModelSpec) -> list[str]:
    return [quality for quality in spec.qualities if quality != AUTO]


def _find(catalog: Catalog, name: str) -> ModelSpec:
    spec = catalog.find(name)
    if spec is None:
        raise CommandError(f"The catalog has no model {name!r}; `{PROGRAM} catalog show` lists those it has.")
    return spec


def _as_json(spec: ModelSpec) -> dict[str, Any]:
    return {
        "id": spec.id,
        "name": spec.name,
        "aliases": list(spec.aliases),
        "ends_on": spec.ends_on.isoformat() if spec.ends_on else None,
        "sizes": _sizes(spec),
        "qualities": list(spec.qualities),
        "output_formats": list(spec.output_formats),
        "n_max": spec.n_max,
        "prompt_chars_max": spec.prompt_chars_max,
        "price": _prices(spec),
        "usd_per_1024x1024": {
            quality: format_usd(cost)
            for quality in _named_qualities(spec)
            if (cost := _cost(spec, "1024x1024", quality)) is not None
        },
    }


def _sizes(spec: ModelSpec) -> str:
    match spec.sizes:
        case SizeList(values=values):
            return ", ".join(values)
        case SizeBounds():
            return "any within its bounds"
    return "any"


def _span(spec: ModelSpec) -> str:
    costs = [cost for quality in _named_qualities(spec) if (cost := _cost(spec, "1024x1024", quality)) is not None]
    if not costs:
        return ""
    low, high = f"${format_usd(min(costs))}", f"${format_usd(max(costs))}"
    return low if low == high else f"{low} to {high}"


def _prices(spec: ModelSpec) -> str:
    if spec.prices is None:
        return "unknown"
    if isinstance(spec.prices, ImagePrice):
        return f"${format_usd(spec.prices.per_image)} a picture"
    prices = spec.prices
    per_million = [(prices.text_in, "text in"), (prices.image_in, "image in"), (prices.image_out, "image out")]
    told = ", ".join(f"{what} ${format_usd(nanousd * 10**6)}" for nanousd, what in per_million)
    return f"{told} per million tokens"


def _end(spec: ModelSpec, today: date) -> str:
    if spec.ends_on is None:
        return ""
    return f"{spec.ends_on}{' (over)' if spec.ends_on <= today else ''}"


def _cost(spec: ModelSpec, size: str, quality: str) -> int | None:
    """Nano-USD for the output of one picture; None where the model does not make it or has no price."""
    try:
        tokens = output_tokens(spec, size, quality)
    except (KeyError, ValueError):
        return None
    return price(Usage(output_image_tokens=tokens), 1, spec)
