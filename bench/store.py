"""What a benchmark leaves behind: one JSON file with everything, read back for the pages; and its conditions."""

import dataclasses
import json
import math
import platform
import sys
import sysconfig
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.figures import Results, Run

_OPTIMIZATIONS = (("PGO", "--enable-optimizations"), ("LTO", "--with-lto"))
_PACKAGES = ("fastapi", "uvicorn", "uvloop", "httptools", "httpx2", "sqlalchemy", "orjson")


def conditions() -> dict[str, str]:
    """The machine and the versions, as they are worth printing."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    built = how_built(sysconfig.get_config_var("CONFIG_ARGS"), sys.base_prefix)
    memory_kb = int(Path("/proc/meminfo").read_text(encoding="utf-8").split()[1])
    return {
        "date": datetime.now(UTC).date().isoformat(),  # noqa: TID251 - a benchmark is its own clock
        "cpu": cpu,
        "memory": f"{memory_kb / 2**20:.0f} GiB",
        "kernel": platform.release(),
        "python": f"{platform.python_version()} ({built})",
        **{name: version(name) for name in _PACKAGES},
    }


def how_built(configured: str | None, prefix: str) -> str:
    """Whether this Python was built for speed, which is worth a fifth: `PGO yes, LTO no`, as far as its configuration
    tells; where a distribution built it, that may have been asked for elsewhere."""
    arguments = configured or ""
    otherwise = "no" if arguments and prefix != "/usr" else "unknown"
    return ", ".join(f"{name} {'yes' if option in arguments else otherwise}" for name, option in _OPTIMIZATIONS)


def save(path: Path, results: Results, told: dict[str, Any]) -> None:
    """`told` is everything beside the runs; it is read back as it is."""
    runs = [dataclasses.asdict(run) for run in results.runs]
    for run in runs:
        run["figures"] = {name: value for name, value in run["figures"].items() if not math.isnan(value)}
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {"contenders": results.contenders, **told, "runs": runs}
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def load(path: Path) -> tuple[Results, dict[str, Any]]:
    """Raises FileNotFoundError when no benchmark has written it."""
    told = json.loads(path.read_text(encoding="utf-8"))
    runs = tuple(Run(**(run | {"reasons": tuple(run["reasons"])})) for run in told.pop("runs"))
    return Results(tuple(told.pop("contenders")), runs), told
