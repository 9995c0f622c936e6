from functools import reduce
from pathlib import Path

import pytest

from bench.figures import Results, Run
from bench.report import PAGES, markdown, sections, splice
from bench.store import conditions, how_built, load, save
from bench.tables import Table

RESULTS = Results(
    ("nginx", "gateway"),
    (
        Run("8MB", False, "gateway", 0, {"cpu_s_per_gb": 1.0}, ("noise",)),
        Run("8MB", False, "nginx", 0, {}, (), "does not take part"),
    ),
)
TOLD = {
    "conditions": {
        "date": "2027-01-31",
        "cpu": "a cpu",
        "memory": "8 GiB",
        "kernel": "6",
        "python": "3.13",
        "uvicorn": "4",
    },
    "versions": {"gateway": "0.1.0"},
    "absent": {"nginx": "it is not installed\nat all"},
    "notes": {"portkey, 2MB": "re-encoded", "portkey, 8MB": "re-encoded", "portkey, sse": "answers HTTP 500"},
    "discarded": 3,
    "ledger": [],
    "settings": ["GATEWAY_PORT=1"],
}


def test_what_is_saved_is_read_back(tmp_path: Path) -> None:
    save(tmp_path / "deeper/results.json", RESULTS, TOLD)
    assert load(tmp_path / "deeper/results.json") == (RESULTS, TOLD)


def test_what_was_not_measured_is_not_saved(tmp_path: Path) -> None:
    save(tmp_path / "results.json", Results(("a",), (Run("8MB", True, "a", 0, {"p50": float("nan"), "p99": 1.0}),)), {})
    assert load(tmp_path / "results.json")[0].runs[0].figures == {"p99": 1.0}


def test_conditions_tell_machine_and_versions() -> None:
    told = conditions()
    assert {"date", "cpu", "memory", "kernel", "python", "uvicorn"} <= told.keys()
    assert all(told.values())


@pytest.mark.parametrize(
    ("configured", "prefix", "told"),
    [
        ("'--enable-optimizations' '--with-lto'", "/usr/local", "PGO yes, LTO yes"),
        ("'--enable-optimizations'", "/opt/python", "PGO yes, LTO no"),
        ("'--enable-shared'", "/opt/python", "PGO no, LTO no"),
        ("'--enable-shared'", "/usr", "PGO unknown, LTO unknown"),
        (None, "/opt/python", "PGO unknown, LTO unknown"),
    ],
)
def test_how_python_was_built_is_told_where_it_is_known(configured: str | None, prefix: str, told: str) -> None:
    assert how_built(configured, prefix) == told


def test_tables_as_markdown() -> None:
    assert markdown(Table("it", ("a", "b"), (("1", "2 | 3"),))) == "| a | b |\n| --- | ---: |\n| 1 | 2 / 3 |"


def test_splicing_replaces_what_stands_between_the_marks() -> None:
    page = "a\n<!-- bench: x -->\nold\nolder\n<!-- bench: end -->\nb <!-- bench: y -->\nstays\n<!-- bench: end -->"
    made = splice(page, "x", r"new \1")
    assert made == page.replace("old\nolder", r"new \1")
    assert splice(made, "x", r"new \1") == made
    with pytest.raises(KeyError, match="bench: z"):
        splice(page, "z", "new")


def test_the_pages_have_a_place_for_every_section() -> None:
    texts = sections(RESULTS, TOLD)
    assert sorted(name for names in PAGES.values() for name in names) == sorted(texts)
    page = ""
    for path, names in PAGES.items():
        page += reduce(lambda text, name: splice(text, name, texts[name]), names, path.read_text(encoding="utf-8"))
    assert "- nginx did not take part: it is not installed\n" in page
    assert "- The gateway ran with `GATEWAY_PORT=1`." in page
    assert "2 runs are kept, 1 of them disturbed (marked !); 3 disturbed runs were thrown away" in page
    assert "- portkey, 2MB, 8MB: re-encoded.\n- portkey, sse: answers HTTP 500.\n" in page
    assert "| nginx | does not take part |" in page
    assert "| gateway | 1.00! |" in page
