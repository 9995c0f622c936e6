"""The house rules, executable: who may import whom, which files are pure, how long a file or function may grow.

docs/design.md says why. A rule that stands in the way is changed here, in the open, not worked around.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
APP = ROOT / "app"

MODULE_LINES_MAX = 300
FUNCTION_LINES_MAX = 70
PARAMETERS_MAX = 6
DOCSTRING_LINES_MAX = 5

# Each room and sub-room, and what it may import: itself, `app` for the version, and these with all their sub-rooms.
# A file belongs to the longest name here that its path begins with.
ROOMS: dict[str, frozenset[str]] = {
    "errors": frozenset(),
    "settings": frozenset(),
    "images/catalog": frozenset({"errors"}),
    "images/request": frozenset({"errors", "images/catalog"}),
    "images/cost": frozenset({"images/catalog", "images/request"}),
    "images/answers": frozenset({"images/cost"}),
    "database": frozenset({"errors", "database/schema"}),
    "database/schema": frozenset(),
    "identity/people": frozenset({"errors", "database"}),
    "identity/keys": frozenset({"errors", "database", "identity/people"}),
    "identity/sessions": frozenset({"database"}),
    "identity/providers": frozenset({"errors", "settings", "database", "identity/people"}),
    "quotas/rules": frozenset({"errors", "images/catalog", "images/cost", "database"}),
    "quotas/ledger": frozenset({"errors", "images/cost", "database", "quotas/rules"}),
    "quotas/limits": frozenset({"errors", "database", "quotas/rules"}),
    "quotas/refusals": frozenset({"errors", "database", "quotas/rules"}),
    "quotas/reports": frozenset(
        {"errors", "images/catalog", "database", "quotas/rules", "quotas/ledger", "quotas/limits"}
    ),
    "setup": frozenset({"errors", "settings", "images/catalog", "identity/people", "quotas/rules"}),
    "upstream/wire": frozenset({"errors", "settings"}),
    "upstream/http1": frozenset({"upstream/wire"}),
    "upstream/accounts": frozenset({"errors", "settings", "database"}),
    "upstream": frozenset({"errors", "settings", "images", "upstream/accounts", "upstream/wire", "upstream/http1"}),
    "upstream/lookups": frozenset({"errors", "settings", "images", "upstream"}),
    "files": frozenset({"errors", "database", "files/store"}),
    "files/store": frozenset({"errors", "database"}),
    "telemetry": frozenset({"images"}),
    "alerts": frozenset(
        {
            "errors",
            "telemetry",
            "settings",
            "database",
            "quotas/rules",
            "upstream/accounts",
        }
    ),
    "configuration/configuration": frozenset({"settings", "images"}),
    "configuration": frozenset(
        {
            *("errors", "settings", "images", "database", "setup", "admin", "alerts", "upstream/wire", "telemetry"),
            "configuration/configuration",
        }
    ),
    "exchange/jobs": frozenset({"errors", "database", "identity", "quotas", "telemetry", "exchange"}),
    "exchange": frozenset({"errors", "images", "database", "identity", "quotas", "files", "upstream", "telemetry"}),
    "admin": frozenset(
        {
            "setup",
            "errors",
            "settings",
            "images",
            "database",
            "identity",
            "quotas",
            "files",
            "upstream",
            "exchange/jobs",
        }
    ),
    "api": frozenset(
        {
            "errors",
            "settings",
            "configuration",
            "images",
            "database",
            "identity",
            "quotas",
            "files",
            "telemetry",
            "exchange",
            "admin",
            "api/headers",
            "api/edits",
        }
    ),
    "api/headers": frozenset(),
    "api/body": frozenset({"errors", "api/headers"}),
    "api/edits": frozenset({"errors", "images", "files", "exchange", "api/body", "api/headers"}),
    "api/endpoints": frozenset(
        {
            *("errors", "images", "database", "identity", "quotas", "files", "upstream/accounts", "telemetry"),
            *("exchange", "admin", "api"),
        }
    ),
    "admin_api": frozenset(
        {*("errors", "images", "database", "identity", "quotas", "setup", "admin", "api", "exchange/jobs")}
    ),
    "console/drawing": frozenset({"images/catalog", "quotas/rules"}),
    "console/providers": frozenset({"errors", "settings", "identity/people", "upstream/wire"}),
    "console/web": frozenset(
        {*("errors", "settings", "identity", "telemetry", "admin", "api"), *("console/drawing", "console/providers")}
    ),
    "console": frozenset(
        {
            *("errors", "settings", "images", "database", "identity", "quotas", "telemetry", "admin", "api"),
            *("files", "console/drawing", "console/providers", "console/web"),
        }
    ),
    "sandbox/options": frozenset({"images"}),
    "sandbox/requests": frozenset({"images", "sandbox/options"}),
    "sandbox/images": frozenset({"sandbox/requests"}),
    "sandbox/answers": frozenset({"images", "sandbox/options", "sandbox/requests", "sandbox/images"}),
    "sandbox": frozenset({"images", "sandbox"}),
    "main": frozenset(
        {
            *("errors", "settings", "configuration", "database", "identity", "quotas", "files"),
            *("upstream", "telemetry", "alerts", "exchange", "api", "admin", "admin_api", "console"),
            "server/http",
        }
    ),
    "server/http": frozenset(
        {
            "errors",
            "settings",
            "configuration/configuration",
        }
    ),
    "server/loading": frozenset(),
    "server": frozenset({"server/http", "server/loading", "errors", "settings", "configuration", "telemetry", "main"}),
    "cli/terminal": frozenset({"server/loading", "errors", "settings", "setup", "database", "images", "admin"}),
    "cli": frozenset(
        {
            *(
                "errors",
                "settings",
                "images",
                "database",
                "identity",
                "quotas",
                "files",
                "upstream",
            ),
            *("configuration", "alerts", "setup", "admin", "server", "main", "sandbox", "cli"),
        }
    ),
    "__main__": frozenset({"cli"}),
}

# Files that decide and do nothing else: no waiting, no clock, no chance, no I/O. And every file whose docstring says
# that it is pure.
PURE = ("images/**/*.py", "quotas/rules/*.py")

# Words of the first versions that say something else, or nothing, to a reader who comes new. docs/glossary.md has the
# words in their place.
RETIRED_WORDS = frozenset(
    {"alarm", "board", "book", "books", "house", "patience", "picture", "pictures", "road", "roads", "standing", "told"}
)
FILES_IN_A_ROOM_MAX = 12
# fmt: off
IMPURE_MODULES = frozenset({
    "anyio", "asyncio", "concurrent", "fastapi", "httpx2", "io", "logging", "multiprocessing", "os",
    "psycopg", "queue", "random", "secrets", "select", "shutil", "signal", "socket", "sqlalchemy", "sqlite3",
    "starlette", "subprocess", "sys", "tempfile", "threading", "time", "urllib", "uuid", "uvicorn",
})
# fmt: on
IMPURE_CALLS = frozenset({"open", "input", "print", "now", "utcnow", "today", "urandom"})

# Files of app/ without a test file of their own name: the tests that show what they do, or nothing but declarations.
# fmt: off
SHOWN_BY: dict[tuple[str, ...], tuple[str, ...]] = {
    ("e2e/test_doors.py", "e2e/test_openai_python.py"): (
        "main.py", "api/endpoints/health.py", "api/endpoints/images.py", "api/endpoints/models.py",
        "api/services.py", "api/endpoints/usage.py", "quotas/reports/overview.py",
    ),
    ("admin_api/test_access.py",): (
        "admin_api/door.py", "admin_api/routes/status.py", "admin/reads/status.py",
        "identity/people/principal.py",
    ),
    ("admin_api/test_people.py",): (
        "admin_api/requests.py",
        "admin_api/routes/teams.py", "admin_api/routes/users.py",
        "admin/access/expected.py", "admin/access/once.py", "admin/access/reaching.py",
    ),
    ("admin_api/test_document.py",): (
        "admin_api/shapes/basics.py", "admin_api/shapes/people.py", "admin_api/shapes/records.py",
    ),
    ("admin_api/test_organization.py",): ("admin_api/routes/organization.py", "admin_api/shapes/reports.py"),
    ("admin_api/test_keys_and_limits.py",): ("admin_api/routes/keys.py", "admin_api/routes/limits.py"),
    ("admin_api/test_records.py",): (
        "admin_api/routes/requests.py", "admin_api/routes/usage.py", "admin_api/routes/gateway.py",
        "admin_api/routes/setup.py", "admin/reads/usage_series.py",
        "admin/reads/explain.py", "admin/reads/pages.py",
        "quotas/reports/lists/series.py", "quotas/reports/lists/refusals.py",
    ),
    ("admin/access/test_permissions.py",): ("identity/people/roles.py",),
    ("e2e/test_reload.py",): ("admin_api/routes/reload.py",),
    ("admin_api/test_jobs.py",): ("admin_api/routes/jobs.py",),
    ("server/test_supervisor.py",): ("server/shared_configuration.py",),
    ("console/test_pages.py", "console/test_walls.py", "console/test_attacks.py"): (
        "admin/reads/glance.py", "console/door.py", "console/member/keys.py", "console/member/sessions.py",
        "console/member/usage.py", "console/pages/limits.py", "console/pages/now.py",
        "console/pages/explain.py", "console/pages/requests.py",
        "console/pages/spans.py", "console/pages/system.py", "console/pages/usage.py", "console/web/guard.py",
        "console/web/headers.py", "console/web/notices.py", "console/web/snippets.py",
        "console/web/templates.py", "console/web/visit.py",
    ),
    ("console/login/test_oidc.py",): ("console/providers/client.py", "settings/console/providers.py"),
    ("console/login/test_proxy.py",): ("console/providers/proxy_header.py",),
    ("admin/access/test_provider_sign_in.py",): ("identity/providers/identities.py",),
    ("setup/test_accounts.py", "setup/test_sign_in.py"): ("setup/secrets.py",),
    ("console/member/test_gallery.py",): ("admin/reads/own_images.py",),
    ("quotas/reports/summaries/test_nearest_limits.py",): (
        "quotas/reports/summaries/costs_by_size.py", "quotas/reports/summaries/pending.py",
        "quotas/reports/summaries/usage_of_user.py",
    ),
    ("e2e/test_links.py",): ("api/link_base.py", "exchange/hosted_answers.py", "exchange/hosting.py"),
    ("api/endpoints/test_files.py",): ("files/opening.py",),
    ("files/store/test_store.py",): ("files/store/disk.py", "files/store/place.py"),
    ("admin/setup/test_apply.py", "admin/setup/test_export.py"): (
        "admin/setup/overlay.py", "admin/setup/state.py", "admin/setup/today.py",
        "identity/people/many.py", "identity/keys/many.py", "quotas/limits/many.py", "setup/managed.py",
    ),
    ("setup/test_reading.py",): ("setup/document.py", "setup/tree.py"),
    ("admin/litellm/test_translate.py", "admin/litellm/test_limits.py"): (
        "admin/litellm/models.py", "admin/litellm/names.py", "admin/litellm/objects.py", "admin/litellm/report.py",
    ),
    ("cli/commands/test_apply.py",): ("cli/commands/export.py",),
    ("upstream/lookups/test_costs.py", "upstream/lookups/test_models.py"): ("upstream/lookups/asking.py",),
    ("e2e/test_faults.py", "e2e/test_client_leaves.py", "e2e/test_pass_through.py"): (
        "exchange/exchange.py", "exchange/relay.py",
    ),
    ("e2e/test_jobs.py",): (
        "api/endpoints/jobs.py", "api/endpoints/submission.py", "api/openapi/jobs.py", "exchange/jobs/downstream.py",
        "exchange/jobs/jobs.py", "exchange/jobs/opening.py", "exchange/jobs/running.py", "exchange/jobs/submitting.py",
        "exchange/jobs/table.py", "exchange/replay/kept_response.py",
    ),
    ("e2e/test_dry_run.py",): ("api/endpoints/dry_run.py",),
    ("e2e/test_replay.py",): (
        "exchange/replay/answering.py", "exchange/replay/opening.py", "exchange/replay/records.py",
        "exchange/replay/replays.py", "exchange/replay/serving.py",
    ),
    ("quotas/ledger/attempts/test_keeper.py",): ("quotas/ledger/attempts/rows.py",),
    ("cli/test_commands.py",): ("__main__.py",),
    ("settings/test_settings.py",): (
        "settings/accounting.py", "settings/callers/bounds.py", "settings/console/sessions.py", "settings/files.py",
        "settings/process.py", "settings/replay.py", "settings/requests.py", "settings/zenmux.py",
    ),
    ("quotas/ledger/test_ledger.py", "cli/test_commands.py"): (
        "quotas/limits/manage.py", "quotas/reports/audit.py", "quotas/reports/bill_check.py",
        "quotas/reports/usage.py", "quotas/reports/limit_status.py", "quotas/ledger/totals.py",
    ),
    ("quotas/reports/test_reconcile_day.py",): ("quotas/reports/reconciliations.py",),
    ("e2e/test_accounts.py",): ("exchange/on_account.py",),
    ("upstream/test_contract.py", "upstream/test_network.py"): (
        "upstream/http1/waiting.py",
        "upstream/sending.py", "upstream/response.py",
    ),
    ("quotas/reports/test_retention.py",): ("quotas/reports/records.py",),
    ("quotas/reports/test_retention.py", "alerts/test_outbox.py"): ("quotas/ledger/liveness/pruning.py",),
    ("e2e/test_thresholds.py",): ("alerts/watch.py",),
    ("database/test_migrate.py",): (
        "database/schema/base.py", "database/schema/change_tables.py", "database/schema/file_tables.py",
        "database/schema/identity_tables.py", "database/schema/replay_tables.py", "database/schema/job_tables.py",
        "database/schema/account_tables.py", "database/schema/ledger_tables.py", "database/schema/limit_tables.py",
        "database/schema/session_tables.py", "database/schema/total_tables.py",
    ),
    ("quotas/ledger/test_execute.py", "quotas/ledger/test_commands.py"): ("quotas/rules/reservation.py",),
    ("images/catalog/test_file.py",): ("images/catalog/model_spec.py",),
    ("images/answers/test_events.py",): ("images/answers/stream_event.py",),
    ("telemetry/test_metrics.py", "telemetry/test_logs.py"): ("telemetry/event.py",),
    ("api/test_error_responses.py",): ("errors.py",),
    ("server/http/test_protocol.py",): (
        "server/http/bounds.py", "server/http/connections.py", "server/http/refusals.py",
    ),
}
# fmt: on

MUTABLE_CALLS = frozenset({"list", "dict", "set", "bytearray", "defaultdict", "deque", "Counter", "OrderedDict"})
# fmt: off
MUTATING_METHODS = frozenset({
    "add", "append", "appendleft", "clear", "discard", "extend", "insert", "pop", "popitem", "popleft", "remove",
    "setdefault", "update",
})
# fmt: on


@dataclass(frozen=True)
class Source:
    """One file of app/, parsed. `name` is its path below app/."""

    name: str
    tree: ast.Module
    line_count: int

    @property
    def room(self) -> str:
        return room_of(self.name.removesuffix(".py"))


def room_of(path: str) -> str:
    """The room of a file or module below app/, its path without `.py`; the path itself where no room has it."""
    parts = path.split("/")
    beginnings = ("/".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((name for name in beginnings if name in ROOMS), path)


def may_import(room: str, other: str) -> bool:
    """Whether a file of `room` may import one of `other`."""
    return other == room or any(other == name or other.startswith(f"{name}/") for name in ROOMS[room])


@cache
def modules() -> frozenset[str]:
    return frozenset(source.name.removesuffix(".py") for source in sources())


@cache
def sources() -> tuple[Source, ...]:
    found = []
    for path in sorted(APP.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        found.append(Source(path.relative_to(APP).as_posix(), ast.parse(text), text.count("\n")))
    return tuple(found)


def is_migration(source: Source) -> bool:
    return source.name.startswith("database/migrations/")


def imported_modules(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Every module an import names, wherever it stands, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute here"
            # `from app.server import serving` names a module in its second half.
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                is_module = name.removeprefix("app.").replace(".", "/") in modules() or node.module == "app"
                yield name if is_module else node.module or "", node.lineno


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


class TestEveryFile:
    """Each test looks at all files. One test for each file and rule would take longer to start than to run."""

    def test_imports_only_the_rooms_it_may(self) -> None:
        wrong = []
        for source in sources():
            imported = list(imported_modules(source.tree))
            if source.name.endswith("__init__.py"):
                if source.name != "__init__.py" and imported:
                    wrong.append(f"app/{source.name} imports something")
                continue
            if source.room not in ROOMS:
                wrong.append(f"app/{source.name} is in a new room: give it its arrows in ROOMS")
                continue
            wrong += [
                f"app/{source.name}:{line} ({source.room}) imports {module}"
                for module, line in imported
                if module.split(".")[0] == "app" and module not in ("app", "app.__version__")
                if not may_import(source.room, room_of(module.removeprefix("app.").replace(".", "/")))
            ]
        assert not wrong, "\n".join(wrong)

    def test_says_what_it_is_for(self) -> None:
        wrong = []
        for source in sources():
            # The tree of errors and the strategies of a few files are drawn at their head: prose before the first blank
            # line is what counts.
            head = (ast.get_docstring(source.tree) or "").split("\n\n")[0]
            if not head:
                wrong.append(f"app/{source.name} has no docstring")
            elif head.count("\n") >= DOCSTRING_LINES_MAX:
                wrong.append(f"app/{source.name} begins with {head.count(chr(10)) + 1} lines")
        assert not wrong, "\n".join(wrong)

    def test_stays_short(self) -> None:
        wrong = []
        for source in sources():
            if source.line_count > MODULE_LINES_MAX:
                wrong.append(f"app/{source.name} has {source.line_count} lines")
            for node in functions(source.tree):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES_MAX and not is_migration(source):
                    wrong.append(f"app/{source.name}:{node.lineno} {node.name} has {lines} lines")
        assert not wrong, "\n".join(wrong)

    def test_functions_take_few_parameters(self) -> None:
        wrong = []
        for source in sources():
            for node in functions(source.tree):
                names = [arg.arg for arg in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
                count = len([name for name in names if name not in ("self", "cls")])
                if count > PARAMETERS_MAX and not is_command(node):
                    wrong.append(f"app/{source.name}:{node.lineno} {node.name} takes {count}")
        assert not wrong, "\n".join(wrong)

    def test_keeps_no_state_in_the_module(self) -> None:
        wrong = [f"app/{source.name}:{line} {what}" for source in sources() for what, line in module_state(source.tree)]
        assert not wrong, "\n".join(wrong)


def is_command(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """A Typer command: its parameters are the options people type, one each."""
    called = [decorator.func for decorator in node.decorator_list if isinstance(decorator, ast.Call)]
    return any(isinstance(func, ast.Attribute) and func.attr in ("command", "callback") for func in called)


def module_state(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """What a module keeps between calls, where the syntax shows it.

    A display (list, dict, set) may stand at module level as a constant: named in capitals and never changed.
    """
    names: set[str] = set()
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        for target in targets:
            if isinstance(target, ast.Name) and isinstance(node, ast.Assign | ast.AnnAssign) and is_mutable(node.value):
                names.add(target.id)
                if not target.id.isupper() and target.id != "__all__":
                    yield f"{target.id} is a changeable value at module level", node.lineno
    for inner in ast.walk(tree):
        if isinstance(inner, ast.Global):
            yield f"global {', '.join(inner.names)}", inner.lineno
        elif isinstance(inner, ast.Subscript) and isinstance(inner.ctx, ast.Store | ast.Del):
            if isinstance(inner.value, ast.Name) and inner.value.id in names:
                yield f"{inner.value.id} is changed", inner.lineno
        elif isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute):
            holder = inner.func.value
            if isinstance(holder, ast.Name) and holder.id in names and inner.func.attr in MUTATING_METHODS:
                yield f"{holder.id} is changed", inner.lineno
        elif isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from unbounded_caches(inner)


def is_mutable(value: ast.expr | None) -> bool:
    if isinstance(value, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp):
        return True
    if not isinstance(value, ast.Call):
        return False
    func = value.func
    return (
        func.id if isinstance(func, ast.Name) else func.attr if isinstance(func, ast.Attribute) else ""
    ) in MUTABLE_CALLS


def unbounded_caches(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[tuple[str, int]]:
    for decorator in node.decorator_list:
        name = ast.unparse(decorator)
        parameters = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
        if parameters and name.removeprefix("functools.") in ("cache", "lru_cache(None)", "lru_cache(maxsize=None)"):
            yield f"{node.name} has a cache without bounds", node.lineno


def is_pure(source: Source) -> bool:
    """By its place, or because it says so."""
    by_place = any(fnmatch(source.name, pattern.replace("**/", "")) for pattern in PURE)
    return by_place or re.search(r"\bPure\b", ast.get_docstring(source.tree) or "") is not None


def test_pure_files_only_decide() -> None:
    found = [source for source in sources() if is_pure(source)]
    assert len(found) > 30
    wrong = []
    for source in found:
        for module, line in imported_modules(source.tree):
            if module.split(".")[0] in IMPURE_MODULES:
                wrong.append(f"app/{source.name}:{line} imports {module}")
        for node in ast.walk(source.tree):
            if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith):
                wrong.append(f"app/{source.name}:{node.lineno} waits")
            elif isinstance(node, ast.Call):
                name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
                if name in IMPURE_CALLS:
                    wrong.append(f"app/{source.name}:{node.lineno} calls {name}()")
    assert not wrong, "\n".join(wrong)


def test_only_the_terminal_and_tests_know_the_sandbox() -> None:
    knows = [
        room for room in ROOMS if room.split("/")[0] != "sandbox" and any("sandbox" in name for name in ROOMS[room])
    ]
    assert knows == ["cli"]


def takers_of_connections(module: str) -> set[str]:
    """The functions of a module of ours that are given a connection to run statements on."""
    name = f"{module.removeprefix('app.').replace('.', '/')}.py"
    return {
        node.name
        for source in sources()
        if source.name == name
        for node in functions(source.tree)
        if any(each.annotation and ast.unparse(each.annotation) == "Connection" for each in node.args.args)
    }


def test_what_takes_a_connection_is_found() -> None:
    assert "set_limit" in takers_of_connections("app.quotas.limits.manage")
    assert takers_of_connections("app.quotas.rules.windows") == set()


_DOORS = [each for each in sources() if each.name.split("/")[0] in ("cli", "admin_api", "console")]


@pytest.mark.parametrize("source", _DOORS, ids=lambda source: source.name)
def test_the_doors_of_administration_know_no_sql(source: Source) -> None:
    """They call use cases, never a room's own statements: those are the functions that take a connection."""
    drivers = {"sqlalchemy", "sqlite3", "psycopg", "alembic"}
    wrong = [
        f"app/{source.name}:{line} imports {module}"
        for module, line in imported_modules(source.tree)
        if module.split(".")[0] in drivers
    ]
    wrong += [
        f"app/{source.name}:{node.lineno} imports {alias.name}, which runs statements"
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name in takers_of_connections(node.module or "")
    ]
    wrong += [
        f"app/{source.name}:{node.lineno} calls {ast.unparse(node.func)}()"
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("execute", "exec_driver_sql")
    ]
    assert not wrong, "\n".join(wrong)


def test_every_arrow_is_one_that_somebody_goes() -> None:
    gone = {
        (source.room, room_of(module.removeprefix("app.").replace(".", "/")))
        for source in sources()
        for module, _ in imported_modules(source.tree)
        if module.startswith("app.")
    }
    unused = [
        f"{room} → {allowed}"
        for room, others in ROOMS.items()
        for allowed in others
        if not any(start == room and (end == allowed or end.startswith(f"{allowed}/")) for start, end in gone)
    ]
    assert not unused, "take these off ROOMS"


def test_the_arrows_make_no_circle() -> None:
    done: set[str] = set()
    real = {
        room: {
            other for other in ROOMS if other != room and may_import(room, other) and not other.startswith(f"{room}/")
        }
        for room in ROOMS
    }

    def visit(room: str, path: tuple[str, ...]) -> None:
        assert room not in path, " → ".join((*path, room))
        if room not in done:
            for allowed in real[room]:
                visit(allowed, (*path, room))
            done.add(room)

    for room in ROOMS:
        visit(room, ())


def defined_names(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Every name the file makes: of modules' parts, parameters, variables and attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr, node.lineno


def words_of(name: str) -> set[str]:
    """`limit_status` and `LimitStatus` are `limit` and `status`."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


def test_no_name_has_a_retired_word() -> None:
    names = [(source, name, line) for source in sources() for name, line in defined_names(source.tree)]
    names += [(source, Path(source.name).stem, 1) for source in sources()]
    wrong = [f"app/{source.name}:{line} {name}" for source, name, line in names if words_of(name) & RETIRED_WORDS]
    assert not wrong, "\n".join(wrong)


def test_no_two_classes_share_a_name() -> None:
    places: dict[str, list[str]] = {}
    for source in sources():
        for node in source.tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(source.name)
    assert not {name: where for name, where in places.items() if len(where) > 1}


def test_no_two_functions_of_a_room_share_a_name() -> None:
    """A command's function is named as the command: `keys create` beside `users create`."""
    places: dict[tuple[str, str], list[str]] = {}
    for source in sources():
        for node in source.tree.body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.name.startswith("_"):
                continue
            if not is_migration(source) and not source.name.startswith("cli/commands/"):
                places.setdefault((source.name.split("/")[0], node.name), []).append(source.name)
    assert not {name: where for (_, name), where in places.items() if len(where) > 1}


def test_no_room_is_crowded() -> None:
    files = [Path(source.name) for source in sources() if not is_migration(source)]
    counted = Counter(str(file.parent) for file in files if file.name != "__init__.py")
    crowded = {
        room: count
        for room, count in counted.items()
        if count > FILES_IN_A_ROOM_MAX and room not in (".", "cli/commands")
    }
    assert not crowded, "give these sub-rooms"


def test_what_is_excused_from_a_rule_says_why() -> None:
    """`# noqa: RULE - reason` and `# type: ignore[rule]  # reason`; a line below one with the same rule needs none."""
    wrong = []
    for source in sources():
        before = ""
        for number, line in enumerate((APP / source.name).read_text(encoding="utf-8").splitlines(), 1):
            found = re.search(r"# (?:noqa: ([A-Z0-9, ]+)|type: ignore\[([a-z-]+)\])(.*)", line)
            rule = (found[1] or found[2]).strip() if found else ""
            if found and rule not in before and not re.match(r"\s*(?:- |# )\s*\w", found[3]):
                wrong.append(f"app/{source.name}:{number} {rule}")
            before = line
    assert not wrong, "\n".join(wrong)


def own_test_of(name: str) -> Path:
    path = Path(name)
    return ROOT / "tests" / path.parent / f"test_{path.name}"


def test_every_file_has_a_test_file_of_its_name() -> None:
    shown = {name for names in SHOWN_BY.values() for name in names}
    missing = [
        f"app/{source.name} has no {own_test_of(source.name).relative_to(ROOT)}"
        for source in sources()
        if not source.name.endswith("__init__.py") and not is_migration(source) and source.name not in shown
        if not own_test_of(source.name).is_file()
    ]
    assert not missing, "\n".join(missing)


def test_the_list_of_files_shown_by_other_tests_is_true() -> None:
    for tests, names in SHOWN_BY.items():
        for test in tests:
            assert (ROOT / "tests" / test).is_file(), f"tests/{test} is gone"
        for name in names:
            assert (APP / name).is_file(), f"app/{name} is gone: take it off SHOWN_BY"
            assert not own_test_of(name).is_file(), f"app/{name} has a test file of its own: take it off SHOWN_BY"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("seen = {}", ["seen is a changeable value at module level"]),
        ("_seen: dict[str, int] = {}", ["_seen is a changeable value at module level"]),
        ("SEEN = set()\ndef f(x):\n    SEEN.add(x)", ["SEEN is changed"]),
        ("SEEN = {}\ndef f(x):\n    SEEN[x] = 1", ["SEEN is changed"]),
        ("count = 0\ndef f():\n    global count\n    count += 1", ["global count"]),
        ("import functools\n@functools.cache\ndef f(x): ...", ["f has a cache without bounds"]),
        ("NAMES = {'a': 1}\nWORDS = frozenset({'a'})\ndef f(x):\n    seen = {}\n    seen[x] = NAMES[x]", []),
    ],
)
def test_the_rule_on_module_state_can_fail(text: str, found: list[str]) -> None:
    assert [what for what, _ in module_state(ast.parse(text))] == found
