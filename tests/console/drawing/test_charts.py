"""Charts: what is drawn is what was counted."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.console.drawing.charts import HEIGHT, OTHERS, WIDTH, Column, heat_steps, largest, limit_bar, stacked_bars
from app.console.drawing.words import count

COLUMNS = [Column("1 Nov", {"a": 10, "b": 30}), Column("2 Nov", {}), Column("3 Nov", {"b": 20})]


def test_each_part_is_a_bar_as_high_as_its_share() -> None:
    drawn = stacked_bars("Cost", COLUMNS, ["b", "a"], count)
    heights = [float(each) for each in re.findall(r'class="series-\d".*?height="([\d.]+)"', drawn)]
    assert [round(each / heights[1]) for each in heights] == [3, 1, 2]
    assert "<title>1 Nov: b 30, a 10</title>" in drawn
    assert "<title>2 Nov: 0</title>" in drawn


@given(st.lists(st.integers(0, 10**15), max_size=40))
def test_nothing_is_drawn_outside(values: list[int]) -> None:
    drawn = stacked_bars("x", [Column(str(n), {"a": value}) for n, value in enumerate(values)], ["a"], count)
    for x, y, width, height in re.findall(
        r'class="series-1" x="([-\d.]+)" y="([-\d.]+)" width="([\d.]+)" height="([\d.]+)"', drawn
    ):
        assert float(x) >= 0
        assert float(x) + float(width) <= WIDTH
        assert float(y) >= 0
        assert float(y) + float(height) <= HEIGHT


def test_texts_are_escaped() -> None:
    drawn = stacked_bars('"><b>', [Column("<i>", {"<u>": 1})], ["<u>"], count)
    assert not re.search(r"<[biu]>", drawn)
    assert 'aria-label="&quot;&gt;&lt;b&gt;"' in drawn
    assert "<b>" not in limit_bar(0.5, 0, '"<b>')


def test_the_smallest_series_are_put_together() -> None:
    columns = [Column("x", {name: number for number, name in enumerate("abcdefgh", 1)})]
    names, merged = largest(columns, 4)
    assert names == ["h", "g", "f", OTHERS]
    assert merged[0].total == columns[0].total
    assert largest(columns, 8) == (list("hgfedcba"), columns)


@pytest.mark.parametrize(
    ("settled", "pending", "state"),
    [(0.1, 0.1, "ok"), (0.5, 0.3, "warn"), (0.9, 0.1, "bad"), (3.0, 1.0, "bad"), (-1.0, 0.0, "ok")],
)
def test_a_limit_is_coloured_by_what_is_used_and_held(settled: float, pending: float, state: str) -> None:
    drawn = limit_bar(settled, pending, "x")
    assert f'class="limit-bar {state}"' in drawn
    used, held = re.search(r'"used" width="([\d.]+)"', drawn), re.search(r'"held" x="[\d.]+" width="([\d.]+)"', drawn)
    assert used
    assert held
    assert float(used[1]) + float(held[1]) <= 100


def test_steps_rise_with_the_value() -> None:
    assert heat_steps([None, 0, 10, 100, 1000]) == [0, 0, 1, 3, 5]
    assert heat_steps([7, 7]) == [1, 1]
    assert heat_steps([]) == []
