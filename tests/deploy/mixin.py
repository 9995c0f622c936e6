"""What the mixin's tests share: its rendered rules, the queries of its dashboards, and the programs that run them."""

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNIT_TESTS = sorted((DEPLOY / "mixin/tests").glob("*.yaml"))
DASHBOARDS = sorted((DEPLOY / "grafana/dashboards").glob("*.json"))
_UNPACKED = ROOT / ".tools/prometheus/usr/bin"  # `make tools` puts Debian's package there


class Query(NamedTuple):
    """An expression, and where it stands."""

    where: str
    expression: str


def find(program: str) -> str | None:
    """`prometheus` or `promtool`: the one on the PATH, or the one that `make tools` unpacked."""
    return shutil.which(program) or shutil.which(program, path=str(_UNPACKED))


@cache
def rules(file: str) -> list[dict[str, Any]]:
    """The rules of one rendered file."""
    document = yaml.safe_load((DEPLOY / file).read_text(encoding="utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


@cache
def panel_queries() -> list[Query]:
    found = []
    for path in DASHBOARDS:
        dashboard = json.loads(path.read_text(encoding="utf-8"))
        for panel in dashboard["panels"]:
            where = f"{dashboard['title']} / {panel['title']}"
            found += [Query(f"{where} {target['refId']}", target["expr"]) for target in panel.get("targets", [])]
    return found


def with_variables(expression: str, window: str = "5m") -> str:
    """A panel's expression with what Grafana puts in: all jobs and models, and `window` to average over."""
    for variable in ("$__range", "$window"):
        expression = expression.replace(variable, window)
    for variable in ("$job", "$model", "$operation"):
        expression = expression.replace(variable, ".*")
    return expression
