"""Reading an entry: every key is checked, nothing is passed over, and each fault names its line."""

import pytest

from app.images.catalog.catalog import CatalogError, load_catalog
from app.images.catalog.entry import TomlSource
from app.images.catalog.file import read_model
from app.images.catalog.model_spec import AreaTokens, EditRules, FlatTokens, ModelSpec, TableTokens
from app.images.catalog.sizes import AnySize, SizeBounds, SizeList

ENTRY = """
[models.fox]
id = "den/fox"
qualities = ["low", "high", "auto"]
n_max = 4

[models.fox.sizes]
rule = "bounds"
multiple_of = 8
edge_max = 2048
ratio_max = 2
pixels_min = 65_536
pixels_max = 4_194_304

[models.fox.tokens]
rule = "measured"
base = { low = 10, high = 20 }
percent = { low = 150, high = 100 }

[models.fox.prices]
text_in = "1"
image_in = "2.5"
image_out = "0.001"
"""


def read(text: str) -> ModelSpec:
    source = TomlSource("den.toml", text)
    models = source.parse()["models"]
    assert isinstance(models, dict)
    return read_model(source, "fox", models["fox"])


def test_an_entry_as_it_is_written() -> None:
    spec = read(ENTRY)
    assert spec.sizes == SizeBounds(8, 2048, 2, 65_536, 4_194_304, 4_194_304)
    assert spec.token_rule == AreaTokens({"low": 10, "high": 20}, {"low": 150, "high": 100})
    assert (spec.n_max, spec.created, spec.open, spec.listed) == (4, 0, False, True)


def test_the_parameters_of_an_entry() -> None:
    gpt_image_2 = load_catalog().find("gpt-image-2")
    assert gpt_image_2 is not None
    assert read(ENTRY).parameters == gpt_image_2.parameters, "where it lists none"
    listed = read(ENTRY.replace("n_max = 4", 'parameters = ["seed"]'))
    assert listed.parameters == {"model", "prompt", "seed"}


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", AnySize()),
        ('sizes = { rule = "any" }', AnySize()),
        ('sizes = { rule = "list", values = ["16x16"] }', SizeList(("16x16",))),
    ],
)
def test_size_rules(text: str, rule: object) -> None:
    assert read(f'[models.fox]\nid = "den/fox"\nhold_usd = "1"\n{text}\n').sizes == rule


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ('tokens = { rule = "flat", per_image = 9 }', FlatTokens(9)),
        (
            'qualities = ["low", "auto"]\nsizes = { rule = "list", values = ["16x16"] }\n'
            'tokens = { rule = "table", low = { 16x16 = 7 } }',
            TableTokens({"low": {"16x16": 7}}),
        ),
    ],
)
def test_token_rules(text: str, rule: object) -> None:
    assert read(f'[models.fox]\nid = "den/fox"\nhold_usd = "1"\n{text}\n').token_rule == rule


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("", None),
        ("edits = {}", EditRules(16, (), markup=False)),
        ("edits = { images_max = 1, input_fidelity = ['low'], markup = true }", EditRules(1, ("low",), markup=True)),
        ("edits = { images_max = 0, markup = true }", None),
    ],
)
def test_what_a_model_takes_in_edits(text: str, rules: EditRules | None) -> None:
    assert read(f'[models.fox]\nid = "den/fox"\nhold_usd = "1"\n{text}\n').edits == rules


def test_partial_images_of_a_stream() -> None:
    assert read(ENTRY).partial_images_max == 3
    assert read(ENTRY.replace("n_max = 4", "partial_images_max = 0")).partial_images_max == 0


@pytest.mark.parametrize(
    ("written", "nanousd_a_token"),
    [("0", 0), ("0.001", 1), ("5", 5000), ("1.25", 1250), ("30.000", 30_000), ("999999.999", 999_999_999)],
)
def test_prices_are_exact(written: str, nanousd_a_token: int) -> None:
    prices = read(ENTRY.replace('text_in = "1"', f'text_in = "{written}"')).prices
    assert getattr(prices, "text_in", None) == nanousd_a_token


@pytest.mark.parametrize(
    ("old", "new", "line", "entry"),
    [
        ('text_in = "1"', "text_in = 1", 21, "models.fox.prices.text_in"),
        ('text_in = "1"', "text_in = 1.0", 21, "models.fox.prices.text_in"),
        ('text_in = "1"', 'text_in = "-1"', 21, "models.fox.prices.text_in"),
        ('text_in = "1"', 'text_in = "NaN"', 21, "models.fox.prices.text_in"),
        ('text_in = "1"', 'text_in = "1e3"', 21, "models.fox.prices.text_in"),
        ('text_in = "1"', 'text_in = "$1"', 21, "models.fox.prices.text_in"),
        ('text_in = "1"', 'text_in = "0.0001"', 21, "models.fox.prices.text_in"),
        ('text_in = "1"', "", 20, "models.fox.prices.text_in: missing"),
        ('image_out = "0.001"', 'image_out = "1"\ntext_out = "2"', 24, "models.fox.prices.text_out"),
        ('image_out = "0.001"', 'image_out = "1"\nper_image = "2"', 24, "models.fox.prices.per_image: stands alone"),
        ('image_out = "0.001"', 'image_out = "1"\nimage_ot = "2"', 24, "models.fox.prices.image_ot: unknown key"),
        ('id = "den/fox"', 'id = "fox"', 3, "models.fox.id"),
        ('id = "den/fox"', "", 2, "models.fox.id: missing"),
        ('id = "den/fox"', 'id = "den/fox"\nopen = "yes"', 4, "models.fox.open"),
        ('id = "den/fox"', 'id = "den/fox"\nends_on = "2026-12-01"', 4, "models.fox.ends_on"),
        ('id = "den/fox"', 'id = "den/fox"\nends_on = 2026-12-01T00:00:00Z', 4, "models.fox.ends_on"),
        ('id = "den/fox"', 'id = "den/fox"\nparameters = ["a b"]', 4, "models.fox.parameters"),
        ('id = "den/fox"', 'id = "den/fox"\naliases = ["a", "a"]', 4, "models.fox.aliases"),
        ('id = "den/fox"', 'id = "den/fox"\nhold_usd = "1"', 4, "models.fox.hold_usd"),
        ('id = "den/fox"', 'id = "den/fox"\nqualitys = ["low"]', 4, "models.fox.qualitys: unknown key"),
        ("n_max = 4", "n_max = 0", 5, "models.fox.n_max"),
        ("n_max = 4", "partial_images_max = 4", 5, "models.fox.partial_images_max"),
        ("n_max = 4", 'auto_quality = "max"', 5, "models.fox.auto_quality: must be one of the qualities"),
        ("n_max = 4", 'successor = "a/b"', 5, "models.fox.successor"),
        ("n_max = 4", "edits = true", 5, "models.fox.edits: must be a table"),
        ("n_max = 4", "edits = { images_max = 17 }", 5, "models.fox.edits.images_max"),
        ("n_max = 4", 'edits = { input_fidelity = ["max"] }', 5, "models.fox.edits.input_fidelity"),
        ("n_max = 4", "edits = { mark = true }", 5, "models.fox.edits.mark: unknown key"),
        ("n_max = 4", "n_max = true", 5, "models.fox.n_max"),
        ("n_max = 4", f"n_max = {10**30}", 5, "models.fox.n_max"),
        ('rule = "bounds"', 'rule = "square"', 8, "models.fox.sizes.rule"),
        ("edge_max = 2048", "edge_max = 1", 7, "models.fox.sizes: these bounds leave no valid size"),
        ("pixels_max = 4_194_304", "pixels_max = 1", 13, "models.fox.sizes.pixels_max"),
        ("ratio_max = 2", "ratio_max = 2\nratio = 3", 12, "models.fox.sizes.ratio: unknown key"),
        ('rule = "measured"', 'rule = "guess"', 16, "models.fox.tokens.rule"),
        ('rule = "measured"', 'rule = "table"', 16, "models.fox.tokens.rule"),
        ("low = 10, ", "", 17, "models.fox.tokens.base.low: missing"),
        ("low = 10, ", "low = 10, max = 9, ", 17, "models.fox.tokens.base.max: unknown key"),
        ("percent = { low = 150, high = 100 }", "", 15, "models.fox.tokens.percent.low: missing"),
        ('qualities = ["low", "high", "auto"]', "", 16, "models.fox.tokens.rule"),
    ],
)
def test_faults_name_the_line_and_the_key(old: str, new: str, line: int, entry: str) -> None:
    assert old in ENTRY
    with pytest.raises(CatalogError) as caught:
        load_catalog(ENTRY.replace(old, new), "den.toml")
    message = str(caught.value)
    assert f": {entry}" in message
    assert message.startswith(f"den.toml, line {line}: ")


@pytest.mark.parametrize("key", ['"a b"', '"x/y"', '""', '"ключ"'])
def test_the_name_of_an_entry_is_bare(key: str) -> None:
    with pytest.raises(CatalogError, match="the name of an entry is bare"):
        load_catalog(f'[models.{key}]\nid = "a/x"\nhold_usd = "1"\n')


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('id = "den/fox"', f'id = "den/{"f" * 90}:{"v" * 40}"'),
        ('qualities = ["low"', f'qualities = ["{"q" * 17}", "low"'),
    ],
)
def test_what_a_record_could_not_hold_is_refused(old: str, new: str) -> None:
    with pytest.raises(CatalogError):
        read(ENTRY.replace(old, new))
