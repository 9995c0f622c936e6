"""The static files: vendored ones are what vendor.json says, pages and scripts obey the policy, browsers keep them."""

import gzip
import hashlib
import json
import re
from pathlib import Path

import httpx2
import pytest

from app.console.web.assets import STATIC, VENDORED, Assets
from tests.console.conftest import Console

FOLDER = Path(__file__).parents[3] / "app/console"
VENDOR = FOLDER / "static/vendor"
THIRD_PARTY_BYTES_MAX = 60_000
TEMPLATES = sorted((FOLDER / "templates").glob("*.html"))
OWN = [*TEMPLATES, *sorted((FOLDER / "static").glob("*.css")), *sorted((FOLDER / "static/js").glob("*.js"))]


def test_vendored_files_are_those_of_the_list() -> None:
    rows = json.loads((VENDOR / "vendor.json").read_text())
    for row in rows:
        assert hashlib.sha256((VENDOR / row["file"]).read_bytes()).hexdigest() == row["sha256"], row["file"]
        assert len((VENDOR / "licences" / f"{row['file']}.txt").read_text()) > 200
        assert row["licence"] in ("0BSD", "MIT", "ISC")
        assert row["version"] in row["file"]
    kept = {path.name for path in VENDOR.iterdir() if path.is_file()} - {"vendor.json"}
    assert kept == {row["file"] for row in rows} == {Path(name).name for name in VENDORED.values()}


def test_third_party_code_is_small() -> None:
    sizes = [len(gzip.compress((FOLDER / "static" / name).read_bytes())) for name in VENDORED.values()]
    assert sum(sizes) < THIRD_PARTY_BYTES_MAX


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_template_holds_nothing_that_the_policy_forbids(path: Path) -> None:
    text = path.read_text()
    for forbidden in (r"<script(?![^>]*\bsrc=)", r"<style", r"\sstyle=", r"\son\w+=", r"hx-on", r"\bjs:", r"\|\s*safe"):
        assert not re.search(forbidden, text), f"{path.name} has {forbidden}"


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_nothing_of_ours_names_another_host(path: Path) -> None:
    found = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+", path.read_text()))
    assert found == set()


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_every_icon_and_file_is_there(path: Path) -> None:
    sprite = (FOLDER / "static" / VENDORED["icons"]).read_text()
    assets = Assets()
    for name in re.findall(r'icon\("([\w-]+)"\)', path.read_text()):
        assert f'<symbol id="{name}"' in sprite, name
    for name in re.findall(r'asset\("([\w./-]+)"\)', path.read_text()):
        assert assets.url(name).startswith(STATIC), name


def test_browsers_keep_a_file_as_long_as_its_address_names_its_content(console: Console) -> None:
    root = console.gateway.root
    for name in Assets().names():
        url = Assets().url(name)
        kept = httpx2.get(f"{root}{url}")
        assert (kept.status_code, "immutable" in kept.headers["cache-control"]) == (200, True), name
        assert kept.content == (FOLDER / "static" / name).read_bytes()
    asked = httpx2.get(f"{root}{STATIC}console.css", headers={"accept-encoding": "identity"})
    assert asked.headers["cache-control"] == "no-cache"
    assert "content-encoding" not in asked.headers
    again = httpx2.get(f"{root}{STATIC}console.css", headers={"if-none-match": asked.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("path", ["nothing.css", "../door.py", "%2e%2e/door.py", "vendor", "", "..%2fdoor.py"])
def test_no_other_file_is_served(console: Console, path: str) -> None:
    answer = httpx2.get(f"{console.gateway.root}{STATIC}{path}")
    assert answer.status_code in (303, 404)  # 303: a client may leave the folder by itself
    assert "import" not in answer.text
