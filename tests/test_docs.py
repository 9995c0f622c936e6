"""Holds the documents, the examples and deploy/ to the code: settings, metrics, errors, outcomes, links, lock files."""

import ast
import json
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import Gauge
from pydantic import SecretStr
from typer.core import TyperGroup

import app
from app.cli.terminal.root import load
from app.cli.terminal.settings_view import secret_file_names
from app.images.catalog.catalog import load_catalog
from app.images.catalog.model_spec import ImagePrice
from app.sandbox.requests.directives import DIRECTIVES
from app.sandbox.server import SandboxServer
from app.settings.settings import Settings, load_settings
from app.telemetry.event import Outcome
from app.telemetry.metrics import Metrics
from tests.admin_api import admin_page
from tests.image_files import image_file
from tests.servers import RunningGateway
from tests.test_architecture import ROOMS

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "config.example.env"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
DECISION_LINES_MAX = 60
# Names of ours that are not settings: options of the command line.
NOT_SETTINGS = frozenset({"GATEWAY_CONFIG", "GATEWAY_ACTOR"})


def read(path: str | Path) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


# --- Settings


def setting_names() -> dict[str, str]:
    """Each setting's environment name → its description."""
    return {
        field.validation_alias if isinstance(field.validation_alias, str) else f"GATEWAY_{name.upper()}": (
            field.description or ""
        )
        for name, field in Settings.model_fields.items()
    }


def example_lines() -> dict[str, tuple[str, str]]:
    """Each setting of config.example.env → the default written there, and the comment above it."""
    found: dict[str, tuple[str, str]] = {}
    comment: list[str] = []
    for line in read(EXAMPLE).splitlines():
        setting = re.fullmatch(r"#?([A-Z][A-Z0-9_]*)=(.*)", line)
        if setting:
            assert setting[1] not in found, f"{setting[1]} stands in config.example.env twice"
            found[setting[1]] = (setting[2], " ".join(comment))
        comment = [*comment, line.removeprefix("# ")] if line.startswith("# ") else []
    return found


def test_the_example_names_every_setting_with_its_meaning_and_no_other() -> None:
    assert {name: comment for name, (_, comment) in example_lines().items()} == setting_names()


def test_the_example_holds_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in setting_names():
        monkeypatch.delenv(name, raising=False)
    everything_set = tmp_path / "gateway.env"
    everything_set.write_text("".join(f"{name}={value}\n" for name, (value, _) in example_lines().items()))
    assert load_settings(everything_set) == Settings()
    assert load_settings(EXAMPLE) == Settings()


def test_the_settings_table_is_the_example_as_a_table() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \| (?:`(.*)`)? ?\| (.+) \|$", read("docs/settings.md"), re.MULTILINE)
    assert {name: (default, meaning) for name, default, meaning in rows} == example_lines()


@pytest.mark.parametrize(
    "path",
    [*PAGES, ROOT / "Dockerfile", ROOT / "docker-compose.yml", *sorted((ROOT / "deploy").rglob("*.*"))],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_no_page_names_a_setting_that_is_not_there(path: Path) -> None:
    named = set(re.findall(r"\b(?:GATEWAY|ZENMUX)_[A-Z][A-Z0-9_]*[A-Z0-9]\b", read(path)))
    assert named - set(setting_names()) - set(secret_file_names()) - NOT_SETTINGS == set()


# --- Metrics


@cache
def exported() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Each metric by the name people query → its type and labels."""
    found = {}
    for collector in Metrics(app.__version__, 1).registry._collector_to_names:
        metric: Any = collector
        if isinstance(metric, Gauge):  # prometheus-client's, the others are ours
            found[metric._name] = (metric._type, tuple(metric._labelnames))
        else:
            found[f"{metric.name}_total" if metric.kind == "counter" else metric.name] = (
                metric.kind,
                metric.label_names,
            )
    return found


@cache
def series() -> frozenset[str]:
    """Every name that may stand in an expression."""
    parts = (
        [f"{name}_{part}" for part in ("bucket", "sum", "count")] if kind == "histogram" else [name]
        for name, (kind, _) in exported().items()
    )
    return frozenset(name for names in parts for name in names)


def test_metrics_page_lists_every_metric_with_its_type_and_labels() -> None:
    rows = re.findall(
        r"^\| `([a-z_]+)` \| (counter|gauge|histogram) \| (.*?) \|", read("docs/metrics.md"), re.MULTILINE
    )
    listed = {name: (kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    assert listed == exported()


def test_examples_on_the_metrics_page_use_metrics_that_exist() -> None:
    for block in re.findall(r"```promql\n(.*?)```", read("docs/metrics.md"), re.DOTALL):
        assert set(re.findall(r"\b(?:zenmux_gateway|gen_ai)_\w+", block)) - series() == set()


# --- Errors and endings


def constants(*where: str, call: str, position: int | None = None, keyword: str | None = None) -> set[str]:
    """The text constants that the code in those places of app/ gives to `call` at a position or by a keyword."""
    found = set()
    for place in where:
        for path in sorted((ROOT / "app").glob(place)):
            for node in ast.walk(ast.parse(read(path))):
                if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == call:
                    given = [word.value for word in node.keywords if word.arg == keyword]
                    if position is not None and len(node.args) > position:
                        given.append(node.args[position])
                    found |= {value.value for value in given if isinstance(value, ast.Constant)}
    return {value for value in found if isinstance(value, str)}


def assigned_codes(where: str) -> set[str]:
    """The text constants assigned to an attribute `code`, alone or among others."""
    found = set()
    for path in sorted((ROOT / "app").glob(where)):
        for node in ast.walk(ast.parse(read(path))):
            if not isinstance(node, ast.Assign):
                continue
            left, right = node.targets[0], node.value
            pairs: list[tuple[ast.expr, ast.expr]] = [(left, right)]
            if isinstance(left, ast.Tuple) and isinstance(right, ast.Tuple):
                pairs = list(zip(left.elts, right.elts, strict=True))
            found |= {ast.unparse(value) for target, value in pairs if getattr(target, "attr", "") == "code"}
    return {code.strip("'") for code in found if code.startswith("'")}


def error_codes() -> set[str]:
    return (
        constants("images/**/*.py", "api/**/*.py", call="refusal", position=1)
        | constants("images/**/*.py", "api/**/*.py", "files/*.py", call="InvalidRequest", keyword="code")
        | constants("api/*.py", "main.py", call="WireError", position=2)
        | constants("upstream/**/*.py", call="_refused", keyword="code")
        | constants("upstream/**/*.py", call="UpstreamRefused", keyword="code")
        | constants("upstream/**/*.py", call="_Meaning", position=4)
        | constants("upstream/**/*.py", call="_Meaning", keyword="code")
        | {code for code in assigned_codes("upstream/**/*.py") if code.isidentifier()}
    )


def error_kinds() -> set[str]:
    raised = ("UpstreamBroken", "UpstreamTimeout", "UpstreamUnreachable", "UpstreamRefused", "_refused")
    found = [constants("upstream/**/*.py", "exchange/**/*.py", call=name, keyword="kind") for name in raised]
    positional = [constants("upstream/**/*.py", "exchange/**/*.py", call=name, position=1) for name in raised]
    changed = constants("upstream/**/*.py", call="replace", keyword="kind")
    return set().union(*found, *positional, changed, constants("upstream/**/*.py", call="_Meaning", position=0))


def listed_in_column(page: str, heading: str, column: int) -> set[str]:
    """The words in backticks in that column of the tables below that heading."""
    section = read(page).split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [line.split("|") for line in section.splitlines() if line.startswith("|")]
    return {word for row in rows for word in re.findall(r"`(\w+)`", row[column])}


def test_errors_page_lists_every_code_and_no_other() -> None:
    headings = re.findall(r"^## (.+)$", read("docs/errors.md"), re.MULTILINE)
    tables = [heading for heading in headings if heading != "What operators see"]
    listed = set().union(*(listed_in_column("docs/errors.md", heading, 2) for heading in tables))
    assert len(error_codes()) > 20
    # Nobody is there to be shown `client_left`.
    assert listed == error_codes() - {"client_left"}


def test_errors_page_lists_every_kind_and_no_other() -> None:
    assert listed_in_column("docs/errors.md", "What operators see", 1) == error_kinds()


def test_accounting_page_lists_every_ending() -> None:
    outcomes = listed_in_column("docs/accounting.md", "Every ending", 2)
    by_the_ledger_itself = {"expired", "withdrawn"}
    without_a_row = {Outcome.REJECTED, Outcome.REFUSED}
    assert outcomes == ({outcome.value for outcome in Outcome} | by_the_ledger_itself) - without_a_row
    for outcome in without_a_row:
        assert f"`{outcome.value}`" in read("docs/accounting.md")


def test_sandbox_page_lists_every_directive() -> None:
    rows = re.findall(r"^\| `(.+?)` \|", read("docs/sandbox.md").split("\n| directive |")[1], re.MULTILINE)
    forms = [directive.form for directive in DIRECTIVES]
    assert rows[: len(forms)] == forms


# --- Pages


def headings(page: Path) -> set[str]:
    """The anchors GitHub makes of a page's headings."""
    text = re.sub(r"```.*?```", "", read(page), flags=re.DOTALL)
    found = set()
    for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        plain = re.sub(r"[^\w\- ]", "", title.replace("`", "").lower())
        found.add(plain.replace(" ", "-"))
    return found


def links() -> Iterator[tuple[Path, str]]:
    for page in PAGES:
        text = re.sub(r"```.*?```", "", read(page), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if not re.match(r"[a-z]+:", target):
                yield page, target


@pytest.mark.parametrize(("page", "target"), list(links()), ids=lambda value: getattr(value, "name", value))
def test_links_lead_somewhere(page: Path, target: str) -> None:
    file, _, anchor = target.partition("#")
    found = (page.parent / file).resolve() if file else page
    assert found.exists(), f"{page.name} links to {target}, which is not there"
    if anchor:
        assert anchor in headings(found), f"{page.name} links to {target}: no such heading"


def blocks(language: str) -> list[tuple[str, str]]:
    """Every fenced block of that language, with its page."""
    return [
        (page.name, block) for page in PAGES for block in re.findall(rf"```{language}\n(.*?)```", read(page), re.DOTALL)
    ]


def test_examples_are_sound() -> None:
    for page, block in blocks("python"):
        compile(block, page, "exec")
    for page, block in blocks("toml"):
        assert load_catalog(block, page).models
    for _, block in blocks("json"):
        json.loads(block)


def test_models_in_remarks_work_as_soon_as_the_remark_is_taken_off() -> None:
    written = [re.sub(r"(?m)^# ", "", block) for page, block in blocks("toml") if page == "operations.md"]
    added = [spec for block in written for spec in load_catalog(block).models if load_catalog().find(spec.id) is None]
    prices = {spec.id: spec.prices for spec in added}
    assert prices == {"qwen/qwen-image-2.0": ImagePrice(28_900_000), "tencent/hy-image-v3.0": ImagePrice(29_000_000)}


def test_commands_in_the_pages_exist() -> None:
    named: set[tuple[str, str]] = set()
    for page in PAGES:
        for code in re.findall(r"```.*?```|`[^`\n]+`", read(page), re.DOTALL):
            named |= set(re.findall(r"zenmux-gateway(?: --\w+ \S+)? ([a-z]+) ?([a-z-]*)", code))
    assert len(named) > 10
    for name, second in named:
        command = load(name)
        if isinstance(command, TyperGroup):
            assert not second or second in command.commands, (
                f"zenmux-gateway {name} {second} is written, but is not there"
            )


def test_the_documented_dump_is_the_owners_alone() -> None:
    """That of `db backup` is, too: tests/database/copies/test_backup.py."""
    dumps = [block for page, block in blocks("sh") if page == "operations.md" and "> gateway-backup.dump" in block]
    assert dumps
    assert all("umask 077" in block for block in dumps)


# --- curl lines, run as they stand


CURL = re.compile(r"\bcurl\s(?:[^\n\\]|\\.)*", re.DOTALL)  # with the lines that continue it
DOCS_ADMIN_KEY = "an-admin-key-of-the-pages-0123456789"


def curl_commands() -> list[tuple[str, str]]:
    """Every block with a curl command in it, with its page; from a transcript, what follows the `$`."""
    found = [(page, block) for page, block in blocks("sh") if CURL.search(block)]
    for page, block in blocks("console"):
        lines = block.splitlines()
        starts = [number for number, line in enumerate(lines) if line.startswith("$ curl ")]
        for start in starts:
            end = next(n for n in range(start, len(lines)) if not lines[n].endswith("\\"))
            found.append((page, "\n".join(lines[start : end + 1]).removeprefix("$ ")))
    return found


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What the pages write → what answers here."""
    data_dir = tmp_path_factory.mktemp("data")
    with SandboxServer() as sandbox:
        settings = Settings(
            _env_file=None,
            zenmux_api_key=SecretStr("sk-ai-v1-test"),
            zenmux_base_url=sandbox.url,
            data_dir=data_dir,
            admin_key=SecretStr(DOCS_ADMIN_KEY),
        )
        with RunningGateway(settings) as gateway:
            yield {
                "http://localhost:8080": gateway.root,
                "http://127.0.0.1:8080": gateway.root,
                "http://127.0.0.1:8090": sandbox.url.removesuffix("/api/v1"),
                "sk-zg-…": gateway.store.key().text,
                "$GATEWAY_ADMIN_KEY": DOCS_ADMIN_KEY,
            }


def run_curl(command: str, replaced: dict[str, str], folder: Path) -> "subprocess.CompletedProcess[str]":
    for written, meant in replaced.items():
        command = command.replace(written, meant)
    return subprocess.run(["sh", "-ec", command], cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def test_every_curl_line_fails_where_the_answer_is_an_error() -> None:
    commands = curl_commands()
    assert {"README.md", "admin-api.md", "clients.md", "sandbox.md"} <= {page for page, _ in commands}
    for page, command in commands:
        for call in CURL.findall(command):
            assert "--fail-with-body" in call, f"{page}: {call.splitlines()[0]}"


@pytest.mark.parametrize(("page", "command"), curl_commands(), ids=lambda value: value.split()[0])
def test_curl_lines_do_what_they_promise(addresses: dict[str, str], tmp_path: Path, page: str, command: str) -> None:
    (tmp_path / "boat.png").write_bytes(image_file())  # which the command before made
    done = run_curl(command, addresses, tmp_path)
    assert done.returncode == 0, f"{page}: {done.stderr}"
    for name in re.findall(r'open\("(\w+\.png)"', command):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG\r\n")


IMAGE_LINES = [(page, command) for page, command in curl_commands() if "/images/generations" in command]


@pytest.mark.parametrize(("page", "command"), IMAGE_LINES, ids=lambda value: value.split()[0])
@pytest.mark.parametrize("wrong", ["key", "address"])
def test_curl_lines_tell_what_went_wrong_and_save_nothing(
    addresses: dict[str, str], tmp_path: Path, page: str, command: str, wrong: str
) -> None:
    if wrong == "key":
        replaced, told = {**addresses, "sk-zg-…": "sk-zg-wrong", "sk-ai-v1-anything": "wrong"}, "key"
    else:
        replaced, told = dict.fromkeys(addresses, "http://127.0.0.1:9"), "curl: (7)"
    done = run_curl(command, replaced, tmp_path)
    assert done.returncode != 0, page
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_one_version_everywhere() -> None:
    assert f'version = "{app.__version__}"' in read("pyproject.toml")
    assert f"image: zenmux-gateway:{app.__version__}\n" in read("docker-compose.yml")
    sections = re.findall(r"^## \[(.+?)\](?: - (\d{4}-\d\d-\d\d))?$", read("CHANGELOG.md"), re.MULTILINE)
    assert sections[0] == ("Unreleased", "")
    assert sections[1][0] == app.__version__
    assert all(date for _, date in sections[1:])


# --- Lock files


def python_lock_files() -> list[Path]:
    return [*ROOT.glob("requirements*.lock"), *(ROOT / "tests/clients").glob("*.lock")]


def test_no_lock_file_names_an_index() -> None:
    packages = json.loads(read("tests/node/package-lock.json"))["packages"]
    for name, package in packages.items():
        # `funding` is where a package's authors ask for money; npm fetches nothing from there.
        fields = {field: value for field, value in package.items() if field != "funding"}
        assert "resolved" not in fields, name
        assert "://" not in json.dumps(fields), f"package-lock.json: {name} holds an address"
    for path in python_lock_files():
        text = read(path)
        assert "://" not in text, f"{path.name} holds an address"
        assert not re.search(r"^\s*--(?!hash=)", text, re.MULTILINE), f"{path.name} sets an option besides hashes"


def test_every_locked_package_has_a_hash() -> None:
    for path in python_lock_files():
        for entry in re.split(r"\n(?=[a-z0-9])", read(path)):
            if "==" in entry.split("\n")[0]:
                assert "--hash=sha256:" in entry, f"{path.name}: {entry.splitlines()[0]}"


def test_every_dependency_is_locked() -> None:
    declared = re.findall(
        r'^    "([a-zA-Z0-9_.-]+)', read("pyproject.toml").split("[project.scripts]")[0], re.MULTILINE
    )
    locked = set(re.findall(r"^([a-z0-9_.-]+)==", read("requirements-dev.lock"), re.MULTILINE))
    assert {name.lower().replace("_", "-") for name in declared} - locked == set()


# --- Words and the house


def test_the_table_of_rooms_is_the_one_the_architecture_test_enforces() -> None:
    rows = re.findall(r"^\| `([a-z0-9_/]+)` \| [^|]+ \| ([a-z0-9_/, –]+) \|$", read("docs/design.md"), re.MULTILINE)
    written = {room: frozenset(imports.replace("–", "").replace(",", " ").split()) for room, imports in rows}
    assert written == {room: imports - {room} for room, imports in ROOMS.items()}


def test_every_decision_is_in_the_index_in_order_and_fits_a_screen() -> None:
    found = [path.name for path in sorted((ROOT / "docs/decisions").glob("*.md"))]
    assert re.findall(r"^- \[\d{4}\]\(decisions/(.+?)\)", read("docs/design.md"), re.MULTILINE) == found
    for name in found:
        assert len(read(f"docs/decisions/{name}").splitlines()) <= DECISION_LINES_MAX, name


RETIRED_IN_PROSE = re.compile(r"\b(pictures?|patience|alarms?|told|books?)\b", re.IGNORECASE)
"""Retired words that have no other meaning on these pages. docs/glossary.md lists what to write instead."""


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_page_uses_a_retired_word(path: Path) -> None:
    text = read(path)
    if path.name == "glossary.md":
        text = text.partition("## Retired words")[0]
    assert RETIRED_IN_PROSE.findall(text) == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_that_a_page_names_is_there(path: Path) -> None:
    named = re.findall(r"`((?:app|tests|deploy|docs|bench)/[\w/.-]+\.(?:py|toml|md|json|yml|c|conf))`", read(path))
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_the_page_of_the_admin_api_has_every_route() -> None:
    page = admin_page.PAGE.read_text(encoding="utf-8")
    assert page == admin_page.page_with_routes(page), "run `.venv/bin/python -m tests.admin_api.admin_page`"
