"""`catalog`: what the models accept and cost in this gateway; and a check for the operator's own files."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.admin.catalog import (
    ZenMuxComparison,
    backgrounds,
    compare_catalogs,
    compare_with_zenmux,
    image_cost,
    model_json,
    named_qualities,
    partial_images_max,
    plain_usd,
    price_words,
)
from app.cli.terminal.options import Json, commands
from app.cli.terminal.output import PROGRAM, say, show, show_json, show_lines, show_table
from app.cli.terminal.session import Session
from app.images.catalog.catalog import ModelSpec, load_catalog, read_catalog
from app.images.catalog.model_spec import AUTO, AreaTokens
from app.images.catalog.sizes import AnySize, SizeBounds, SizeList, parse_size

if TYPE_CHECKING:
    from app.upstream.lookups.models import ListedPrice

app = commands("Show models, their rules and prices; check a catalog file.")

_EXAMPLE_SIZES = ("1024x1024", "1024x1536", "1536x1024", "2048x2048", "3840x2160")


@app.command("show")
def show_catalog(
    context: typer.Context,
    model: Annotated[str | None, typer.Argument(help="One model, by any of its names. Without it: all.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Show every model, or one of them with its rules and what its images cost.

    \b
    zenmux-gateway catalog show
    zenmux-gateway catalog show gpt-image-2
    """
    session = Session(context)
    catalog = session.catalog
    today = session.terminal.clock().astimezone(UTC).date()
    if model is not None:
        spec = session.models.existing(model)
        if as_json:
            show_json(model_json(spec))
        else:
            _show_one(spec, today)
        return
    if as_json:
        show_json([model_json(spec) for spec in catalog.models])
        return
    show_table(
        ["model", "1024x1024 image", "price", "ends"],
        [[spec.name, _span(spec), price_words(spec), _end(spec, today)] for spec in catalog.models],
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
    catalog = read_catalog(file, str(file))
    difference = compare_catalogs(catalog, load_catalog())
    if as_json:
        show_json({"file": str(file), **difference.as_json()})
        return
    show(f"{file} is right. With it the catalog has {len(catalog.models)} models:")
    for spec in difference.changed:
        show(f"  {'added' if spec.id in difference.new else 'changed'} {spec.name}, {price_words(spec)}")
    for name in difference.removed:
        show(f"  removed {name}")
    if not difference.changed and not difference.removed:
        show("  nothing differs from the built-in catalog")


@app.command()
def compare(context: typer.Context, *, as_json: Json = False) -> None:
    """Compare the catalog with the image models and prices that ZenMux lists. Exit code 1 if anything differs.

    Sends no key. ZenMux lists no price that is surely that of image tokens: such prices are compared as far as they are
    known.

    \b
    zenmux-gateway catalog compare
    zenmux-gateway catalog compare --json
    """
    session = Session(context)
    today = session.terminal.clock().astimezone(UTC).date()
    comparison = asyncio.run(compare_with_zenmux(session.settings, session.catalog, today))
    if as_json:
        show_json(comparison.as_json())
    else:
        _show_comparison(comparison)
    raise typer.Exit(1 if comparison.differs else 0)


def _show_comparison(comparison: ZenMuxComparison) -> None:
    rows = [
        [model.id, "not in the catalog", ", ".join(map(_listed_price, model.prices)), ""]
        for model in comparison.lacking
    ]
    rows += [[spec.id, "not listed by ZenMux", "", price_words(spec)] for spec in comparison.vanished]
    rows += [
        [each.model, f"price of {each.key}", f"${plain_usd(each.zenmux_usd)} {each.unit}", _or(each.catalog_usd)]
        for each in comparison.prices
    ]
    if rows:
        show_table(["model", "difference", "ZenMux", "catalog"], rows)
    say(f"{comparison.same} image models are the same here and at ZenMux, as far as their prices can be compared.")


def _listed_price(price: "ListedPrice") -> str:
    return f"{price.key} ${plain_usd(price.usd)} {price.unit}"


def _or(amounts: Sequence[Decimal]) -> str:
    return " or ".join(f"${plain_usd(usd)}" for usd in amounts) or "none such"


def _show_one(spec: ModelSpec, today: date) -> None:
    show_lines(
        {
            "model": spec.name,
            "sent as": spec.id,
            "also called": ", ".join(spec.aliases),
            "ends": _end(spec, today) + (f"; then its names mean {spec.successor}" if spec.successor else ""),
            "sizes": _sizes(spec),
            "qualities": ", ".join(spec.qualities) or "any",
            "auto means": spec.auto_quality if spec.auto_quality != AUTO else "",
            "formats": ", ".join(spec.output_formats) or "any",
            "backgrounds": ", ".join(backgrounds(spec)) or "any",
            "streams": _streams(spec),
            "edits": _edits(spec),
            "at most": f"{spec.n_max} images a request, {spec.prompt_chars_max:,} characters of prompt",
            "price": price_words(spec),
        }
    )
    qualities = named_qualities(spec)
    if not qualities:
        return
    rows = [(size, [image_cost(spec, size, quality) for quality in qualities]) for size in _example_sizes(spec)]
    known = [
        [size, *(_rounded(cost) for cost in costs if cost is not None)] for size, costs in rows if None not in costs
    ]
    if known:
        says_most = isinstance(spec.token_rule, AreaTokens) and max(spec.token_rule.percent.values()) > 100
        show(f"\nAn image costs{' at most' if says_most else ''}, before its prompt and input images:")
        show_table(["size", *qualities], known, right=qualities)


def _example_sizes(spec: ModelSpec) -> tuple[str, ...]:
    match spec.sizes:
        case SizeList(values=values):
            return values
        case SizeBounds() as bounds:
            return tuple(size for size in _EXAMPLE_SIZES if bounds.fault(*(parse_size(size) or (0, 0))) is None)
        case AnySize():
            return _EXAMPLE_SIZES[:1]


def _sizes(spec: ModelSpec) -> str:
    match spec.sizes:
        case SizeList(values=values):
            return ", ".join(values)
        case SizeBounds() as bounds:
            return (
                f"any: multiples of {bounds.multiple_of}, edges to {bounds.edge_max}, ratio to {bounds.ratio_max}:1, "
                f"{bounds.pixels_min / 1e6:.2f} to {bounds.pixels_max / 1e6:.2f} megapixels"
            )
        case AnySize():
            return "any"


def _streams(spec: ModelSpec) -> str:
    if "stream" not in spec.parameters:
        return "no"
    return f"with up to {partial_images_max(spec)} partial images"


def _edits(spec: ModelSpec) -> str:
    if spec.edits is None:
        return "no"
    fidelity = f"input_fidelity {' or '.join(spec.edits.input_fidelity)}" if spec.edits.input_fidelity else ""
    extras = [extra for extra in (fidelity, "markup" if spec.edits.markup else "") if extra]
    return f"up to {spec.edits.images_max} images, a mask{''.join(f', {extra}' for extra in extras)}"


def _span(spec: ModelSpec) -> str:
    costs = [cost for quality in named_qualities(spec) if (cost := image_cost(spec, "1024x1024", quality)) is not None]
    if not costs:
        return ""
    low, high = _rounded(min(costs)), _rounded(max(costs))
    return low if low == high else f"{low} to {high}"


def _rounded(nanousd: int) -> str:
    return f"${nanousd / 1e9:.4f}"


def _end(spec: ModelSpec, today: date) -> str:
    if spec.ends_on is None:
        return ""
    return f"{spec.ends_on}{' (over)' if spec.has_ended(today) else ''}"
