"""The mixin: what is committed is what it renders, every expression reads metrics and labels that exist, every alert
has a runbook, and promtool runs its tests, a firing and a silent one for each alert."""

import json
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from tests.deploy.mixin import DASHBOARDS, DEPLOY, ROOT, UNIT_TESTS, Query, find, panel_queries, rules, with_variables
from tests.test_docs import exported, series

ALERTS = [Query(rule["alert"], rule["expr"]) for rule in rules("alerts.yml")]
RULES = [Query(rule["record"], rule["expr"]) for rule in rules("rules.yml")]
NAMES = sorted({alert.where for alert in ALERTS})
TARGET_LABELS = {"job", "instance"}
PROMTOOL = find("promtool")
LASTING = {"CannotServe", "Slow", "ConsoleQuerySlow"}
MARKS = {"slo-days": pytest.mark.long("promtool evaluates the rules over a day of samples")}
needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="promtool is not here, and `make tools` found no Debian package: the rules are not run"
)


def selectors(node: Any) -> list[Any]:
    """Every selector in a parsed expression."""
    if isinstance(node, promql_parser.VectorSelector):
        return [node]
    if isinstance(node, promql_parser.MatrixSelector):
        return [node.vector_selector]
    children = [getattr(node, name, None) for name in ("lhs", "rhs", "expr", "param")]
    children += getattr(node, "args", None) or []
    return [found for child in children if child is not None for found in selectors(child)]


def aggregations(node: Any, above: tuple[str, ...] = ()) -> list[tuple[str, tuple[str, ...], list[str]]]:
    """Each aggregation: its operator, those around it, and the labels that it keeps."""
    found = []
    if isinstance(node, promql_parser.AggregateExpr):
        labels = list(node.modifier.labels) if node.modifier is not None else []
        found.append((str(node.op), above, labels))
        above = (*above, str(node.op))
    children = [getattr(node, name, None) for name in ("lhs", "rhs", "expr", "param")]
    children += getattr(node, "args", None) or []
    return found + [each for child in children if child is not None for each in aggregations(child, above)]


def labels_of(name: str) -> set[str]:
    """The labels of a series: of one of the gateway's metrics, of a recording rule, or of what Prometheus makes."""
    if name == "up":
        return TARGET_LABELS
    if name in {rule.where for rule in RULES}:
        return {"job"}
    assert name in series(), f"the gateway has no {name}"
    base = re.sub(r"_(bucket|sum|count)$", "", name)
    kind, labels = exported()[name] if name in exported() else exported()[base]
    return {*labels, *TARGET_LABELS, *({"le"} if kind == "histogram" else set())}


def test_the_rendered_files_are_those_that_are_committed(tmp_path: Path) -> None:
    subprocess.run([sys.executable, DEPLOY / "mixin/render.py", "--into", tmp_path], check=True)
    made = {str(path.relative_to(tmp_path)): path.read_text() for path in tmp_path.rglob("*.*") if path.is_file()}
    kept = {name: (DEPLOY / name).read_text() for name in made}
    assert made == kept, "run `make mixin`"
    assert {path.name for path in DASHBOARDS} == {Path(name).name for name in made if name.endswith(".json")}


@pytest.mark.parametrize("query", [*ALERTS, *RULES, *panel_queries()], ids=lambda query: query.where)
def test_expressions_read_metrics_and_labels_that_exist(query: Query) -> None:
    parsed = promql_parser.parse(with_variables(query.expression))
    found = selectors(parsed)
    assert found
    known = set()
    for selector in found:
        allowed = labels_of(selector.name)
        assert {matcher.name for matcher in selector.matchers.matchers} <= allowed, selector.name
        assert "job" in {matcher.name for matcher in selector.matchers.matchers}, "it reads other programs' metrics too"
        known |= allowed
    for operator, above, labels in aggregations(parsed):
        assert set(labels) <= known
        if "user" in labels:
            assert "topk" in above or operator == "topk", "so many series as there are users"


@pytest.mark.parametrize("rule", rules("alerts.yml"), ids=lambda rule: rule["alert"] + " " + rule["labels"]["severity"])
def test_each_alert_says_what_it_means_and_where_to_read_on(rule: dict[str, Any]) -> None:
    assert re.fullmatch(r"ZenmuxGateway([A-Z][a-z]+)+", rule["alert"])
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    annotations = rule["annotations"]
    assert annotations["summary"]
    assert annotations["description"]
    page, anchor = annotations["runbook_url"].split("#")
    headings = re.findall(r"^### (\w+)$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
    assert anchor in {heading.lower() for heading in headings}
    # A label in a text is there in the result.
    kept = {label for _, _, labels in aggregations(promql_parser.parse(rule["expr"])) for label in labels}
    named = set(re.findall(r"\$labels\.(\w+)", annotations["summary"] + annotations["description"]))
    assert named <= (TARGET_LABELS if rule["alert"] == "ZenmuxGatewayDown" else kept)


def test_each_runbook_is_an_alerts() -> None:
    headings = re.findall(r"^### (ZenmuxGateway\w+)$", (ROOT / "docs/operations.md").read_text("utf-8"), re.MULTILINE)
    assert sorted(headings) == NAMES


def test_each_alert_has_a_firing_and_a_silent_test() -> None:
    fires: dict[str, set[bool]] = defaultdict(set)
    for path in UNIT_TESTS:
        for test in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]:
            for check in test["alert_rule_test"]:
                fires[check["alertname"]].add(bool(check["exp_alerts"]))
    assert fires == {name: {True, False} for name in NAMES}


@pytest.mark.parametrize("query", [*ALERTS, *RULES], ids=lambda query: query.where)
def test_the_first_step_of_a_counter_counts(query: Query) -> None:
    for counted, window in re.findall(r"increase\((\w+\{[^}]*\})\[(\w+)\]\)", query.expression):
        grown = f"({counted} unless max_over_time({counted}[10m] offset {window}) or increase({counted}[{window}]))"
        assert grown in query.expression
    # A rate misses that step too: it is for what goes on for minutes.
    assert "rate(" not in query.expression or query.where.removeprefix("ZenmuxGateway") in LASTING


@needs_promtool
def test_promtool_takes_the_rules() -> None:
    done = subprocess.run(
        [str(PROMTOOL), "check", "rules", "--lint=all", "--lint-fatal", DEPLOY / "alerts.yml", DEPLOY / "rules.yml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
@pytest.mark.parametrize(
    "path", [pytest.param(path, id=path.stem, marks=MARKS.get(path.stem, ())) for path in UNIT_TESTS]
)
def test_the_alerts_fire_and_stay_silent(path: Path) -> None:
    done = subprocess.run([str(PROMTOOL), "test", "rules", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboards_show_every_metric_of_ours() -> None:
    shown = {
        re.sub(r"_(bucket|sum|count)$", "", selector.name)
        for query in panel_queries()
        for selector in selectors(promql_parser.parse(with_variables(query.expression)))
    }
    assert {name for name in exported() if name.startswith("zenmux_gateway_")} <= shown


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboards_panels_do_not_overlap(path: Path) -> None:
    taken: dict[tuple[int, int], str] = {}
    panels = json.loads(path.read_text(encoding="utf-8"))["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, f"{panel['title']} lies on {taken[x, y]}"
                taken[x, y] = panel["title"]


def test_dashboards_have_uids_of_their_own() -> None:
    uids = [json.loads(path.read_text(encoding="utf-8"))["uid"] for path in DASHBOARDS]
    assert len(set(uids)) == len(uids) == 5
