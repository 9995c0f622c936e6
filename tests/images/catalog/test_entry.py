"""Where a key of a catalog file stands, so that a fault can name its line."""

import pytest

from app.images.catalog.entry import CatalogError, Entry, TomlSource


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("models", "a"), 2),
        (("models", "a", "n_max"), 4),
        (("models", "a", "prices", "text_in"), 6),
        (("models", "b.c", "prices"), 8),
        (("models", "b.c", "prices", "image_out"), 9),
        (("models", "b.c", "tokens"), 8),
        (("models", "d", "prices", "text_in"), 11),
        (("retired",), 1),
    ],
)
def test_where_a_key_stands(path: tuple[str, ...], line: int) -> None:
    text = (
        'retired = []\n[models.a]  # = a remark\nid = "a/a"\nn_max = 4\n[ models . "a" . prices ]\ntext_in = "1"\n\n'
        '[models."b.c".prices]\n\'image_out\' = "1"\n[models.d]\nprices.text_in = "1"\n'
    )
    assert TomlSource("x", text).line_of(path) == line


def test_a_key_that_nobody_read_is_refused() -> None:
    source = TomlSource("den.toml", "n_max = 4\nn_maxx = 5\n")
    entry = Entry(source, (), source.parse())
    assert entry.integer("n_max", 1, 10) == 4
    with pytest.raises(CatalogError, match=r"^den\.toml, line 2: n_maxx: unknown key$"):
        entry.finish()
