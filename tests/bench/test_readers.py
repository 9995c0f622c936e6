"""What is made of the times of images beside readers, and what a console asks. Nothing is timed."""

import os
import shutil
from pathlib import Path

import pytest

from bench.__main__ import measure_readers
from bench.budgets import CONSOLES
from bench.consoles import NOW, READERS, REQUESTS, USAGE, Console, habits, repeating
from bench.growth import Load
from bench.processes import BenchError, Cores
from bench.readers import NOBODY, PROGRAMS, compared
from bench.rig import Rig
from bench.tables import reader_table


def test_the_budgets_name_the_consoles_that_are_measured() -> None:
    assert f"{READERS} consoles" == CONSOLES


def test_each_round_is_compared_with_itself() -> None:
    """A machine that slows down meanwhile changes no ratio."""
    found = compared({NOBODY: [[1.0], [10.0], [2.0]], CONSOLES: [[1.1], [11.0], [3.0]]})
    assert found[NOBODY] == {"images": 3.0, "p50_ms": 2.0, "p95_ms": 2.0, "p95_ratio": 1.0}
    assert found[CONSOLES]["p95_ratio"] == pytest.approx(1.1)


def test_the_table_has_a_row_for_each_kind_of_reader() -> None:
    figures = {"images": 1234.0, "p50_ms": 4.0, "p95_ms": 8.0, "p95_ratio": 1.02, "callers": 8, "waits_ms": 0}
    table = reader_table([{"who": NOBODY, "cpu_ms": 0.0, **figures}, {"who": CONSOLES, "cpu_ms": 3.21, **figures}])
    assert table.rows == (
        ("nobody", "8, 0 s at ZenMux", "1,234", "4.00", "8.00", "1.020", "–"),
        ("20 consoles", "8, 0 s at ZenMux", "1,234", "4.00", "8.00", "1.020", "3.2"),
    )


def test_a_console_refreshes_now_and_looks_elsewhere_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def note(_: int, path: str, __: dict[str, str]) -> float:
        asked.append(path)
        return 0.0

    monkeypatch.setattr("bench.consoles.ask", note)
    [once] = habits([Console(1, "a=b")])
    for _ in range(12):
        once()
    assert asked.count(NOW) == 12
    assert [path for path in asked if path != NOW] == [USAGE, REQUESTS]


def test_what_a_reader_meets_is_raised() -> None:
    def fail() -> float:
        raise BenchError("HTTP 503")

    with pytest.raises(BenchError, match="HTTP 503"), repeating([fail]):
        pass


@pytest.mark.long("a gateway is measured for seconds")
@pytest.mark.skipif(not all(map(shutil.which, ("cc", "openssl", "taskset"))), reason="needs the rig")
def test_images_are_made_beside_consoles_and_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.__main__.FOLDER", tmp_path)
    core = min(os.sched_getaffinity(0))
    with Rig(tmp_path / "rig", Cores(core, core)) as rig:
        rows = measure_readers(rig, Load(records=500, keys=20), rounds=1, seconds=0.2)
    assert [row["who"] for row in rows] == [NOBODY, CONSOLES, PROGRAMS] * 2
    assert all(float(row["images"]) > 0 for row in rows)
