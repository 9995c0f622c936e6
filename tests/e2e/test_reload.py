"""SIGHUP: what was changed in the files is used, what is wrong in them is refused, and no request notices."""

import signal
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import orjson
import psutil
import pytest

from app.sandbox.server import SandboxServer
from app.upstream.http1.connection import IDLE_SECONDS_MAX
from tests.alerts.receiver import SECRET, receiving
from tests.e2e.test_client_leaves import received
from tests.image_files import image_file
from tests.servers import GatewayProcess, Key, fetch_json, read_metric, wait_until

BODY = {"model": "gpt-image-2", "size": "1024x640", "quality": "low", "prompt": "a house"}
PREFIX = "zenmux_gateway_config"
RELOADS = 50


class Reloaded:
    """A gateway of one or two processes whose settings are in a file: `write` changes them, `reload` has them read."""

    def __init__(self, folder: Path, sandbox: SandboxServer, database_url: str | None, stack: ExitStack) -> None:
        self.folder, self.sandbox = folder, sandbox
        self.file = folder / "gateway.env"
        self.catalog, self.setup = folder / "catalog.toml", folder / "gateway.yaml"
        self.catalog.write_text("")
        self.setup.write_text("version: 1\n")
        # The kernel chooses a worker for each connection: all of 24 reach one of two once in eight million times.
        self.tries = 1 if database_url is None else 24
        self._fixed = {"GATEWAY_CATALOG_FILE": str(self.catalog), "GATEWAY_BOOTSTRAP_FILE": str(self.setup)}
        self.write(ZENMUX_API_KEYS="main=sk-ai-v1-old")
        more = {} if database_url is None else {"GATEWAY_DATABASE_URL": database_url, "GATEWAY_WORKERS": "2"}
        self.gateway = stack.enter_context(
            GatewayProcess(folder / "data", sandbox.url, ZENMUX_API_KEY="", GATEWAY_CONFIG=str(self.file), **more)
        )
        wait_until(lambda: "listening" in self.gateway.log(), "it serves")
        # A connection for each request, so that both workers get some.
        self.client = stack.enter_context(httpx2.Client(timeout=60, limits=httpx2.Limits(max_keepalive_connections=0)))

    def write(self, **settings: str) -> None:
        """The settings from now on, beside those that every test has."""
        lines = [f"{name}={value}" for name, value in {**self._fixed, **settings}.items()]
        self.file.write_text("\n".join(lines) + "\n")

    def lines(self, event: str) -> list[dict[str, Any]]:
        found = self.gateway.log().splitlines()
        return [orjson.loads(line) for line in found if line.startswith(f'{{"event":"{event}"')]

    def reload(self) -> dict[str, Any]:
        """Reads the files again; what the log says once every process uses the result."""
        before = len(self.lines("configuration_in_use"))
        self.gateway.process.send_signal(signal.SIGHUP)
        wait_until(lambda: len(self.lines("configuration_in_use")) > before, "the configuration was read")
        return self.lines("configuration_in_use")[before]

    def metric(self, name: str, **labels: str) -> float:
        """What every process says; connections of their own reach both."""
        found = {read_metric(self.gateway.root, f"{PREFIX}_{name}", **labels) for _ in range(self.tries)}
        assert len(found) == 1, found
        return found.pop()

    def ask(self, key: Key, **fields: Any) -> httpx2.Response:
        headers = {"authorization": f"Bearer {key.text}"}
        url = f"{self.gateway.url}/images/generations"
        return self.client.post(url, json={**BODY, **fields}, headers=headers)

    def bought_with(self, account_key: str) -> int:
        return len(fetch_json(f"{self.sandbox.bill_url}?key={account_key}")["generations"])

    def findings(self) -> list[Any]:
        self.gateway.store.settled()
        return self.gateway.store.findings(fetch_json(self.sandbox.bill_url))


TWO_WORKERS = pytest.mark.long(
    "one process reads the files by the same code; tests/server/test_supervisor.py has the rest"
)


@pytest.fixture(params=["one process", pytest.param("two workers", marks=TWO_WORKERS)])
def running(request: pytest.FixtureRequest, tmp_path: Path, sandbox: SandboxServer) -> Iterator[Reloaded]:
    is_alone = request.param == "one process"
    with ExitStack() as stack:
        yield Reloaded(tmp_path, sandbox, None if is_alone else request.getfixturevalue("postgresql_url"), stack)


def test_what_changed_is_used_and_what_needs_a_restart_is_named(running: Reloaded) -> None:
    key = running.gateway.store.key("images:4/day")
    before = running.reload()["hash"]
    assert running.metric("info", hash=before) == 1
    assert running.ask(key, model="my-model").status_code == 404
    running.catalog.write_text('[models."my-model"]\nid = "openai/my-model"\nlike = "gpt-image-2"\n')
    running.setup.write_text("version: 1\nusers: {bob: {}}\n")
    with receiving() as receiver:
        running.write(
            ZENMUX_API_KEYS="main=sk-ai-v1-new",
            GATEWAY_THRESHOLDS_PERCENT="25",
            GATEWAY_WEBHOOK_URL=receiver.url,
            GATEWAY_WEBHOOK_SECRET=SECRET,
            GATEWAY_DEFAULT_MODEL="my-model",
            GATEWAY_LOG_LEVEL="debug",
            GATEWAY_KEY_CACHE_SECONDS="1",
        )
        after = running.reload()["hash"]
        assert after != before
        assert (running.metric("info", hash=before), running.metric("info", hash=after)) == (0, 1)
        assert running.lines("configuration_read")[-1]["needs_restart"] == [
            "GATEWAY_KEY_CACHE_SECONDS",
            "GATEWAY_LOG_LEVEL",
        ]
        assert running.lines("setup_applied")[-1]["changes"] == 1
        headers = {"authorization": f"Bearer {key.text}", "x-gateway-dry-run": "true"}
        url = f"{running.gateway.url}/images/generations"
        dry = running.client.post(url, json={"prompt": "a house"}, headers=headers)
        assert dry.json()["request"]["model"] == "openai/my-model"
        assert running.ask(key).status_code == 200
        wait_until(lambda: receiver.percents == [25], "the event came to the new address")
        assert receiver.received[0].is_signed
    assert (running.bought_with("old"), running.bought_with("new")) == (0, 1)
    assert running.findings() == []


def test_accounts_of_the_set_up_file_are_used_and_their_keys_replaced(running: Reloaded) -> None:
    key, secret = running.gateway.store.key("images:9/day"), running.folder / "spare-key"
    secret.write_text("sk-ai-v1-first\n")
    running.setup.write_text(f"version: 1\naccounts: {{spare: {{key_file: {secret}}}}}\n")
    running.write()
    before = running.reload()["hash"]
    assert running.ask(key).status_code == 200
    secret.write_text("sk-ai-v1-second\n")
    assert running.reload()["hash"] != before
    assert running.ask(key).status_code == 200
    secret.unlink()
    assert running.reload()["is_newest"] is False
    assert (
        f"line 2: accounts.spare: the file {secret} cannot be read"
        in running.lines("configuration_refused")[-1]["reason"]
    )
    assert running.ask(key).status_code == 200
    assert (running.bought_with("first"), running.bought_with("second")) == (1, 2)
    assert {row["account"] for row in running.gateway.store.settled(3)} == {"spare"}
    assert running.findings() == []


def test_models_of_the_set_up_file_come_and_change_and_go_without_a_failed_request(running: Reloaded) -> None:
    key = running.gateway.store.key()
    headers, done, results = {"authorization": f"Bearer {key.text}"}, threading.Event(), Counter[int]()

    def buy() -> None:
        while not done.is_set():
            results[running.ask(key).status_code] += 1

    def seen() -> tuple[bool, str, str]:
        """Whether every process lists `house`; what the name means in a dry run, and what three images would hold."""
        found = set()
        for _ in range(running.tries):
            models = running.client.get(f"{running.gateway.url}/models", headers=headers).json()["data"]
            dry = {**headers, "x-gateway-dry-run": "true"}
            url, body = f"{running.gateway.url}/images/generations", {"model": "house", "prompt": "x", "n": 3}
            answer = running.client.post(url, json=body, headers=dry).json()
            is_listed = "house" in {each["id"] for each in models}
            found.add((is_listed, answer["request"]["model"], answer["cost_usd"]["at_most"]))
        assert len(found) == 1, found
        return found.pop()

    def write(models: str) -> None:
        running.setup.write_text(f"version: 1\ncatalog:\n  models:{models}\n")

    running.catalog.write_text('[models.house]\nlike = "gpt-image-2"\nid = "openai/house"\nhold_usd = "0.2"\n')
    callers = [threading.Thread(target=buy) for _ in range(4)]
    for caller in callers:
        caller.start()
    try:
        for models, is_newest, held_usd in (
            (" {}", True, "0.6"),
            ("\n    house: {hold_usd: '0.1'}", True, "0.3"),
            ("\n    house: {hold_usd: 0.4}", False, "0.3"),
            ("\n    house: {hold_usd: '0.5'}\n    gpt-image-2: {aliases: [draw]}", True, "1.5"),
            (" {}\n  retired: [house]", True, None),
        ):
            write(models)
            before = results.total()
            assert running.reload()["is_newest"] is is_newest
            listed, model, at_most = seen()
            if held_usd is None:  # the name of a retired model means its successor
                assert (listed, model) == (False, "openai/gpt-image-2")
            else:
                assert (listed, model, float(at_most)) == (True, "openai/house", float(held_usd))
            wait_until(lambda before=before: results.total() > before + 4, "images were bought after it")  # type: ignore[misc]
    finally:
        done.set()
        for caller in callers:
            caller.join()
    said = running.lines("configuration_refused")[0]["reason"]
    assert said.startswith(f"{running.setup}, line 4: catalog.models.house.hold_usd: must be dollars as text")
    assert running.lines("configuration_read")[1]["models"] == [
        "~ model house: unknown: $0.20 is held and charged for an image -> "
        "unknown: $0.10 is held and charged for an image"
    ]
    assert set(results) == {200}
    assert len(running.gateway.store.settled(results[200])) == results[200]
    assert running.findings() == []


def test_a_server_that_an_account_has_left_is_closed_when_its_last_request_has_ended(running: Reloaded) -> None:
    key, secret = running.gateway.store.key(), running.folder / "secret"
    secret.write_text("sk-ai-v1-key\n")
    running.write()

    def lead_to(sandbox: SandboxServer) -> None:
        account = f"{{key_file: {secret}, base_url: {sandbox.url}}}"
        running.setup.write_text(f"version: 1\naccounts: {{main: {account}}}\n")
        assert running.reload()["is_newest"]

    def connections_to(sandbox: SandboxServer) -> int:
        main = psutil.Process(running.gateway.process.pid)
        found = [each for process in (main, *main.children()) for each in process.net_connections("tcp4")]
        port = urlsplit(sandbox.url).port
        return sum(bool(each.raddr) and each.raddr.port == port and each.status == "ESTABLISHED" for each in found)

    with SandboxServer() as old:
        lead_to(old)
        assert {running.ask(key).status_code for _ in range(6)} == {200}
        with ExitStack() as stack:
            slow = [stack.enter_context(running.gateway.begin(key, "x [sandbox: delay=6s]")) for _ in range(2)]
            wait_until(lambda: received(old) == 8, "they are sent")
            lead_to(running.sandbox)
            assert running.ask(key).status_code == 200
            assert connections_to(old) >= 2
            for connection in slow:
                answer = b"".join(iter(lambda connection=connection: connection.recv(65536), b""))  # type: ignore[misc]
                assert answer.startswith(b"HTTP/1.1 200")
        less_than_idle = IDLE_SECONDS_MAX - 1
        wait_until(lambda: connections_to(old) == 0, "the connections to it are closed", less_than_idle)
        assert len(fetch_json(old.bill_url)["generations"]) == 8
    assert (running.bought_with("key"), len(running.gateway.store.settled(9))) == (1, 9)
    assert running.gateway.store.findings() == []


def break_settings(running: Reloaded) -> str:
    running.write(ZENMUX_API_KEYS="main=sk-ai-v1-other", GATEWAY_THRESHOLDS_PERCENT="101")
    return "GATEWAY_THRESHOLDS_PERCENT"


def break_keys(running: Reloaded) -> str:
    running.write(ZENMUX_API_KEYS="main=sk-ai-v1-old, spare=sk-ai-v1-old")
    return "ZENMUX_API_KEYS"


def forget_keys(running: Reloaded) -> str:
    running.write()
    return "ZENMUX_API_KEY is not set"


def lose_secret(running: Reloaded) -> str:
    running.write(ZENMUX_API_KEYS_FILE=str(running.folder / "nowhere"))
    return "ZENMUX_API_KEYS_FILE names"


def leave_webhook_unsigned(running: Reloaded) -> str:
    running.write(ZENMUX_API_KEYS="main=sk-ai-v1-other", GATEWAY_WEBHOOK_URL="https://example.com/hook")
    return "GATEWAY_WEBHOOK_SECRET"


def break_catalog(running: Reloaded) -> str:
    running.write(ZENMUX_API_KEYS="main=sk-ai-v1-other")
    running.catalog.write_text("[models.x")
    return "line 1"


def lose_default_model(running: Reloaded) -> str:
    running.write(ZENMUX_API_KEYS="main=sk-ai-v1-other", GATEWAY_DEFAULT_MODEL="gone")
    return "GATEWAY_DEFAULT_MODEL"


def break_setup(running: Reloaded) -> str:
    running.write(ZENMUX_API_KEYS="main=sk-ai-v1-other")
    running.setup.write_text("version: 1\nusers:\n  carol: {}\n  bob: {team: nowhere}\n")
    return "line 4: users.bob.team"


def break_models_of_setup(running: Reloaded) -> str:
    running.write(ZENMUX_API_KEYS="main=sk-ai-v1-other")
    running.setup.write_text("version: 1\ncatalog:\n  models:\n    house: {like: nothing, id: openai/house}\n")
    return "line 4: catalog.models.house.like: names no entry"


def remove_settings(running: Reloaded) -> str:
    running.file.unlink()
    return "gateway.env"


BREAKS = [
    break_settings,
    break_keys,
    forget_keys,
    lose_secret,
    leave_webhook_unsigned,
    break_catalog,
    lose_default_model,
    break_setup,
    break_models_of_setup,
    remove_settings,
]


def test_whatever_is_wrong_is_named_and_all_of_the_old_stays(running: Reloaded) -> None:
    key = running.gateway.store.key()
    good = running.reload()
    read_at = running.metric("last_reload_success_timestamp_seconds")
    for number, spoil in enumerate(BREAKS):
        said = spoil(running)
        kept = running.reload()
        assert (kept["hash"], kept["is_newest"]) == (good["hash"], False), spoil.__name__
        refused = running.lines("configuration_refused")
        assert len(refused) == number + 1
        assert said in refused[-1]["reason"], refused[-1]
        assert running.metric("last_reload_successful") == 0
        assert running.metric("last_reload_success_timestamp_seconds") == read_at
        assert running.metric("info", hash=good["hash"]) == 1
        running.catalog.write_text("")
        running.setup.write_text("version: 1\n")
    assert "sk-ai-v1-o" not in running.gateway.log()  # neither the old one nor another one
    running.write(ZENMUX_API_KEYS="main=sk-ai-v1-old")
    assert running.reload()["is_newest"]
    assert running.metric("last_reload_successful") == 1
    assert running.metric("last_reload_success_timestamp_seconds") > read_at
    assert running.ask(key).status_code == 200
    assert running.bought_with("old") == 1
    assert running.findings() == []


def test_a_new_key_is_used_by_new_requests_and_the_old_one_finishes_what_it_has(running: Reloaded) -> None:
    key = running.gateway.store.key()
    secret = running.folder / "keys"
    secret.write_text("main=sk-ai-v1-old\n")
    running.write(ZENMUX_API_KEYS_FILE=str(secret))
    running.reload()
    with ExitStack() as stack:
        connections = [stack.enter_context(running.gateway.begin(key, "slow [sandbox: delay=10s]")) for _ in range(8)]
        rows = running.gateway.store.rows
        wait_until(lambda: received(running.sandbox) == 8, "all are sent")
        secret.write_text("main=sk-ai-v1-new\n")
        running.reload()
        assert [row["state"] for row in rows()] == ["pending"] * 8  # they wait for ZenMux
        for _ in range(6):
            assert running.ask(key).status_code == 200
        for connection in connections:
            answer = b"".join(iter(lambda connection=connection: connection.recv(65536), b""))  # type: ignore[misc]
            assert answer.startswith(b"HTTP/1.1 200")
            assert answer.endswith(b"}")
    assert (running.bought_with("old"), running.bought_with("new")) == (8, 6)
    assert {row["account"] for row in running.gateway.store.settled(14)} == {"main"}
    assert running.findings() == []


def test_accounts_that_stay_keep_their_states_and_a_new_key_begins_as_up(running: Reloaded) -> None:
    key = running.gateway.store.key()
    running.write(ZENMUX_API_KEYS="main=sk-ai-v1-main, spare=sk-ai-v1-spare", GATEWAY_ACCOUNT_ORDER="priority")
    running.reload()
    url = f"{running.sandbox.bill_url.removesuffix('bill')}keys/main"
    urllib.request.urlopen(urllib.request.Request(url, b"status=402", method="PUT")).close()

    def states() -> set[str]:
        return {fetch_json(f"{running.gateway.root}/readyz")["accounts"] for _ in range(running.tries)}

    def ask_all() -> set[str]:
        assert running.ask(key).status_code == 200
        return states()

    wait_until(lambda: ask_all() == {"1 of 2 up (main down, credit)"}, "every process has met it")
    running.write(ZENMUX_API_KEYS="main=sk-ai-v1-main*5, spare=sk-ai-v1-spare, third=sk-ai-v1-third")
    running.reload()
    assert states() == {"2 of 3 up (main down, credit)"}
    running.write(ZENMUX_API_KEYS="main=sk-ai-v1-paid, spare=sk-ai-v1-spare", GATEWAY_ACCOUNT_ORDER="priority")
    running.reload()
    assert states() == {"2 of 2 up"}
    assert running.ask(key).status_code == 200
    assert running.bought_with("paid") == 1
    assert running.findings() == []


def test_a_worker_that_starts_later_has_the_last_good_configuration(
    tmp_path: Path, sandbox: SandboxServer, postgresql_url: str
) -> None:
    """Also while the files are broken: it does not read them."""
    with ExitStack() as stack:
        running = Reloaded(tmp_path, sandbox, postgresql_url, stack)
        key = running.gateway.store.key()
        running.write(ZENMUX_API_KEYS="main=sk-ai-v1-new")
        good = running.reload()
        break_catalog(running)
        running.reload()
        psutil.Process(running.gateway.process.pid).children()[0].kill()
        wait_until(lambda: len(running.lines("worker_ready")) == 3, "another one took its place")
        wait_until(lambda: running.metric("last_reload_successful") == 0, "it knows that the files are broken")
        assert running.metric("info", hash=good["hash"]) == 1
        assert running.ask(key).status_code == 200
        assert running.bought_with("new") == 1


def test_an_admin_reloads_over_http_and_is_answered_with_the_result(running: Reloaded) -> None:
    admin_key = "0123456789abcdef0123456789abcdef"
    secret = {"GATEWAY_ADMIN_KEY": admin_key, "ZENMUX_API_KEYS": "main=sk-ai-v1-old"}

    def ask(key: str = admin_key, query: str = "") -> httpx2.Response:
        headers = {"authorization": f"Bearer {key}"}
        return running.client.post(f"{running.gateway.root}/admin/v1/reload{query}", headers=headers)

    assert ask().status_code == 401
    running.write(**secret)
    running.reload()
    assert ask(running.gateway.store.key().text).status_code == 403
    for number in range(4):  # each worker is asked
        running.write(**secret, GATEWAY_THRESHOLDS_PERCENT=str(number + 1), GATEWAY_LOG_LEVEL="debug")
        answer = ask().json()
        assert (answer["object"], answer["needs_restart"]) == ("reload", ["GATEWAY_LOG_LEVEL"])
        wait_until(lambda: running.lines("configuration_in_use")[-1]["hash"] == answer["hash"], "all use it")  # noqa: B023 - at once
    running.setup.write_text("version: 1\nusers: {zoe: {}}\ncatalog: {models: {gpt-image-2: {n_max: 2}}}\n")
    for _ in range(4):
        tried = ask(query="?dry_run=true").json()
        assert [each["action"] for each in tried["changes"]] == ["user.create"]
        assert tried["hash"] != answer["hash"]
        assert (answer["models"], tried["models"]) == ([], ["~ model gpt-image-2: n_max"])
    running.write(**secret, GATEWAY_THRESHOLDS_PERCENT="101")
    for query in ("?dry_run=true", ""):
        refused = ask(query=query)
        assert refused.status_code == 409, refused.text
        assert "GATEWAY_THRESHOLDS_PERCENT" in refused.json()["error"]["message"]
        assert running.metric("last_reload_successful") == bool(query)
    assert {each["changes"] for each in running.lines("setup_applied")} == {0}
    assert running.metric("info", hash=answer["hash"]) == 1


def test_an_edit_that_has_given_its_images_away_is_not_sent_to_an_account_that_came_meanwhile(
    running: Reloaded,
) -> None:
    """With one account they are deleted as soon as ZenMux has them."""
    key = running.gateway.store.key()
    answers: list[httpx2.Response] = []

    def edit() -> None:
        headers = {"authorization": f"Bearer {key.text}"}
        fields = {**BODY, "prompt": "a house [sandbox: delay=3s status=402]"}
        files = [("image", ("a.png", image_file((300, 300))))]
        url = f"{running.gateway.url}/images/edits"
        answers.append(running.client.post(url, headers=headers, data=fields, files=files))

    caller = threading.Thread(target=edit)
    caller.start()
    rows = running.gateway.store.rows
    wait_until(lambda: any(row["dispatched_at_ms"] for row in rows()), "it is sent")
    running.write(ZENMUX_API_KEYS="main=sk-ai-v1-old, spare=sk-ai-v1-spare")
    running.reload()
    caller.join()
    assert (answers[0].status_code, answers[0].json()["error"]["code"]) == (503, "upstream_account_fault")
    assert [row["account"] for row in running.gateway.store.settled(1)] == ["main"]
    assert running.findings() == []


@pytest.mark.long("reads all files fifty times, with images bought between any two readings")
def test_fifty_reloads_under_load_with_good_and_broken_files_fail_no_request(running: Reloaded) -> None:
    store = running.gateway.store
    keys = [store.key(user=f"user{number}") for number in range(4)]
    done, results = threading.Event(), Counter[int]()

    def buy(key: Key) -> None:
        headers = {"authorization": f"Bearer {key.text}"}
        with httpx2.Client(headers=headers, timeout=60) as caller:
            while not done.is_set():
                status = caller.post(f"{running.gateway.url}/images/generations", json=BODY).status_code
                results[status] += 1

    callers = [threading.Thread(target=buy, args=[key]) for key in keys]
    for caller in callers:
        caller.start()
    hashes, read_at = set(), [0.0]
    try:
        for number in range(RELOADS):
            is_good = number % 2 == 0
            broken = "" if is_good else ("settings", "catalog", "setup")[number // 2 % 3]
            percent = "broken" if broken == "settings" else "50"
            running.catalog.write_text("[models.x" if broken == "catalog" else "")
            team = "nowhere" if broken == "setup" else "null"
            running.setup.write_text(f"version: 1\nusers: {{bob: {{team: {team}}}}}\n")
            running.write(ZENMUX_API_KEYS=f"main=sk-ai-v1-key{number}", GATEWAY_THRESHOLDS_PERCENT=percent)
            said, before = running.reload(), results.total()
            assert said["is_newest"] is is_good, broken
            if running.tries == 1 or number >= RELOADS - 2:  # to ask both workers takes many connections
                shown = [running.metric("last_reload_successful"), running.metric("info", hash=said["hash"])]
                assert shown == [is_good, 1]
                read_at.append(running.metric("last_reload_success_timestamp_seconds"))
                assert (read_at[-1] > read_at[-2]) is is_good
            hashes.add(said["hash"])
            wait_until(lambda before=before: results.total() > before, "requests were answered between two reloads")  # type: ignore[misc]
    finally:
        done.set()
        for caller in callers:
            caller.join()
    assert len(hashes) == RELOADS // 2
    assert len(running.lines("configuration_refused")) == RELOADS // 2
    assert set(results) == {200}
    assert results[200] >= RELOADS
    assert len(store.settled()) == results[200]
    bought = Counter({number: running.bought_with(f"key{number}") for number in range(RELOADS)})
    assert sum(bought[number] for number in range(1, RELOADS, 2)) == 0  # no key of a broken file was used
    assert sum(bought.values()) + running.bought_with("old") == results[200]
    assert sum(1 for number in range(0, RELOADS, 2) if bought[number]) > 1
    assert running.findings() == []
