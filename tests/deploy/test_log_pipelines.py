"""The page on the log and the examples for Elastic and Loki name the fields that lines have."""

import re
from pathlib import Path
from typing import Any

import yaml

from app.images.cost.usage import Usage
from app.telemetry.event import RequestEvent
from app.telemetry.logs import request_line

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/logs.md").read_text(encoding="utf-8")
FILEBEAT: dict[str, Any] = yaml.safe_load((ROOT / "deploy/logs/filebeat.yml").read_text(encoding="utf-8"))
OF_EVERY_LINE = {"timestamp", "event", "level", "logger", "worker", "exception"}


def rows() -> list[tuple[set[str], str]]:
    """The fields of each row of the table, and its last cell."""
    found = re.findall(r"^\| (`[^|]+) \| [^|]+ \| ([^|]*)\|$", PAGE.split("## Fields")[1], re.MULTILINE)
    return [(set(re.findall(r"`(\w+)`", names)), ecs.strip()) for names, ecs in found]


def test_the_page_lists_every_field_of_a_line_and_no_other() -> None:
    event = RequestEvent("req", "/v1/images/generations", 0.0)
    for name in RequestEvent.__slots__:
        value: Any = getattr(event, name, None)
        if value is None or value == ():
            setattr(event, name, ("a",) if value == () else 1)
    event.usage = event.usage_implausible = Usage(1, 1, 1, 1)
    event.input_images = event.received_bytes = event.sent_bytes = 1
    assert set().union(*(names for names, _ in rows())) == set(request_line(event)) | OF_EVERY_LINE


def test_filebeat_gives_the_names_of_the_page() -> None:
    [rename] = [step["rename"] for step in FILEBEAT["processors"] if "rename" in step]
    given = {field["from"].removeprefix("zenmux_gateway."): field["to"] for field in rename["fields"]}
    named = {
        name: re.findall(r"`([\w.@]+)`", ecs)[0]
        for names, ecs in rows()
        for name in names
        if ecs and name != "input_images"
    }
    assert given | {"timestamp": "@timestamp"} == named


def test_loki_gets_no_label_that_grows() -> None:
    alloy = (ROOT / "deploy/logs/loki.alloy").read_text(encoding="utf-8")
    [labels] = re.findall(r"stage\.labels \{\s+values = \{(.*)\}", alloy)
    assert re.findall(r"(\w+) =", labels) == ["level"]
