"""A real Prometheus scrapes real gateways, which are made to fail in every way an alert is about. Each alert fires, and
each query of a dashboard finds something. The mixin's time runs sixty times faster; nothing else of it is changed but
the name of the job and what `Slow` and `ConsoleQuerySlow` call slow."""

import json
import math
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.main import utc_now
from app.sandbox.server import SandboxServer
from app.settings.settings import Settings
from tests.deploy.mixin import ROOT, find, panel_queries, rules, with_variables
from tests.deploy.prometheus import Prometheus, faster, repeating
from tests.forking import run_command
from tests.image_files import image_file
from tests.raw_upstream import RawRequest, RawUpstream, document
from tests.servers import UPSTREAM_KEY, GatewayProcess, Key, RunningGateway, wait_until

# Each alert → how it is provoked here. docs/operations.md has this table.
PROVOKED = {
    "Down": "the gateway is stopped",
    "CannotServe": "its database is locked, and requests keep coming",
    "Fault": "a part that raises",
    "ConnectionsRefused": "`GATEWAY_CONNECTIONS_MAX=16`, and thirty idle connections",
    "LogLost": "its log is a full disk (`/dev/full`)",
    "ReloadFailed": "a catalog file that is wrong, then `kill -HUP`",
    "Slow": "`[sandbox: delay=3s]`, with 1 second called slow",
    "AccountFault": "`[sandbox: status=402]`",
    "AccountDown": "the same, with two accounts",
    "UpstreamFailing": "`[sandbox: status=500]`, again and again",
    "NoImage": 'an upstream that answers `{"data": []}`',
    "UsageMissing": "`[sandbox: no-usage]`",
    "UsageImplausible": "`[sandbox: usage=100x]`",
    "Unpriced": "a model that the catalog does not know, with `GATEWAY_UNKNOWN_MODELS=pass`",
    "BilledMore": "images bought with ZenMux's key beside the gateway, then `ledger reconcile`",
    "NotReconciled": "`ledger reconcile --day` for a day two weeks ago",
    "QuotaNearlyUsed": "a limit of one image, used",
    "LimitPassed": "a process that stands still while its request is answered, and `ledger expire` meanwhile",
    "WebhookFailing": "a webhook that nobody answers, at its tenth try",
    "ReservationsStuck": "a row that is set back to `pending` by hand",
    "SettlementsWaiting": "its database is locked while images are made",
    "SettlementsAtRisk": "the same, with `GATEWAY_SPOOL_BYTES_MAX=0`",
    "SignInsRefused": "thirty wrong admin keys",
    "SignInsFailing": "a provider that nobody answers for",
    "ConsoleQuerySlow": "a database whose list of changes takes long to read, with 0.1 seconds called slow",
    "AvailabilityBudgetBurn": "its database is locked, and requests keep coming",
    "AddedLatencyBudgetBurn": "its database is locked for a moment before each request",
}
# The queries of the dashboard that Envoy AI Gateway ships (examples/monitoring/grafana-dashboard.json at f8249e6).
ENVOY = (
    "sum(gen_ai_server_request_duration_seconds_count)",
    'sum(gen_ai_client_token_usage_sum{gen_ai_token_type=~"input|output"})',
    "histogram_quantile(0.95, sum(rate(gen_ai_server_time_to_first_token_seconds_bucket[15m])) by (le))",
    "histogram_quantile(0.95, sum(rate(gen_ai_server_request_duration_seconds_bucket[15m])) by (le))",
    "sum by (gen_ai_token_type) (gen_ai_client_token_usage_sum)",
    "histogram_quantile(0.50, sum(rate(gen_ai_server_request_duration_seconds_bucket[1m])) by (le))",
    "histogram_quantile(0.99, sum(rate(gen_ai_server_request_duration_seconds_bucket[1m])) by (le))",
    "histogram_quantile(0.95, sum(rate(gen_ai_server_time_to_first_token_seconds_bucket[1m])) by (le))",
    "histogram_quantile(0.95, sum(rate(gen_ai_server_time_per_output_token_seconds_bucket[1m])) by (le))",
    "sum by (gen_ai_original_model, gen_ai_response_model, gen_ai_provider_name)"
    " (gen_ai_server_request_duration_seconds_count)",
    "sum(rate(gen_ai_server_request_duration_seconds_count[1m]))",
    "sum by (gen_ai_token_type) (rate(gen_ai_client_token_usage_sum[1m]))",
    'sum(gen_ai_server_request_duration_seconds_count{error_type!=""})'
    " / sum(gen_ai_server_request_duration_seconds_count)",
    '1 - ((sum by (gen_ai_original_model) (gen_ai_server_request_duration_seconds_count{error_type!=""}))'
    " or (sum by (gen_ai_original_model) (gen_ai_server_request_duration_seconds_count) * 0))"
    " / sum by (gen_ai_original_model) (gen_ai_server_request_duration_seconds_count)",
)
ADMIN_KEY = "0123456789abcdef0123456789abcdef"
AWAY = """
version: 1
oidc: {providers: {away: {label: Away, issuer: "http://127.0.0.1:9", client_id: gateway, newcomers: nobody}}}
"""
# The list of changes, of which each look counts to a million first.
SLOW_CHANGES = (
    "ALTER TABLE admin_events RENAME TO kept_events",
    "CREATE VIEW admin_events AS WITH RECURSIVE up(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM up WHERE n < 1000000)"
    " SELECT kept_events.* FROM kept_events, (SELECT max(n) AS top FROM up) WHERE top > 0",
)
BODY = {"model": "gpt-image-2", "size": "1024x1024", "quality": "low"}
IMAGE = json.dumps({"created": 1, "data": [{"b64_json": "aGVsbG8="}]}).encode()

pytestmark = pytest.mark.skipif(
    find("prometheus") is None, reason="Prometheus is not here, and `make tools` found no Debian package"
)


def ask(
    url: str, key: Key, prompt: str = "a house", more_headers: dict[str, str] | None = None, **fields: Any
) -> httpx2.Response:
    headers = {"authorization": f"Bearer {key.text}", **(more_headers or {})}
    body = {**BODY, "prompt": prompt, **fields}
    return httpx2.post(f"{url}/images/generations", json=body, headers=headers, timeout=60)


def edit(url: str, key: Key) -> None:
    headers = {"authorization": f"Bearer {key.text}"}
    files = {"image": ("a.png", image_file(), "image/png")}
    httpx2.post(f"{url}/images/edits", data={**BODY, "prompt": "a hat"}, files=files, headers=headers, timeout=60)


class Site:
    """Gateways that Prometheus scrapes, each a job of its own."""

    def __init__(self, folder: Path, stack: ExitStack, prometheus: Prometheus, sandbox: SandboxServer) -> None:
        self.folder = folder
        self.stack = stack
        self.prometheus = prometheus
        self.sandbox = sandbox
        self.pool = stack.enter_context(ThreadPoolExecutor(16))

    def start(self, job: str, upstream: str | None = None, **environment: str) -> GatewayProcess:
        made = GatewayProcess(self.folder / job, upstream or self.sandbox.url, **environment)
        gateway = self.stack.enter_context(made)
        self.prometheus.scrape(gateway.root, f"zg-{job}")
        return gateway

    def has_scraped(self, job: str, metric: str) -> Callable[[], bool]:
        return lambda: bool(self.prometheus.query(f'{metric}{{job="zg-{job}"}}'))

    def command(self, job: str, *arguments: str) -> int:
        """A command on a gateway's folder."""
        environment = {
            "PATH": os.environ["PATH"],
            "ZENMUX_BASE_URL": self.sandbox.url,
            "ZENMUX_MANAGEMENT_KEY": "sk-mg-test",
            "GATEWAY_DATA_DIR": str(self.folder / job),
        }
        return run_command(arguments, environment).returncode

    @contextmanager
    def locked(self, job: str) -> Iterator[None]:
        lock = sqlite3.connect(self.folder / job / "gateway.db", isolation_level=None, timeout=30)
        lock.execute("BEGIN EXCLUSIVE")
        try:
            yield
        finally:
            lock.close()

    def change(self, job: str, statement: str) -> None:
        connection = sqlite3.connect(self.folder / job / "gateway.db", isolation_level=None, timeout=30)
        connection.execute(statement)
        connection.close()


def traffic(site: Site) -> Callable[[], None]:
    """A gateway with all sorts of requests, good and bad. Returns one round of them."""
    file = site.folder / "gateway.yaml"
    file.write_text(AWAY, encoding="utf-8")
    gateway = site.start(
        "usual",
        GATEWAY_WEBHOOK_URL="http://127.0.0.1:9/",
        GATEWAY_WEBHOOK_SECRET="x" * 32,
        GATEWAY_ADMIN_KEY=ADMIN_KEY,
        GATEWAY_BOOTSTRAP_FILE=str(file),
    )
    sign_in = partial(httpx2.post, f"{gateway.root}/console/sign-in", headers={"sec-fetch-site": "same-origin"})
    assert sign_in(data={"key": ADMIN_KEY}).status_code == 303
    assert {sign_in(data={"key": "a guess"}).status_code for _ in range(30)} == {403, 429}
    for _ in range(3):
        assert httpx2.get(f"{gateway.root}/console/oidc/away").status_code == 502
    key = gateway.store.key()
    ask_for = partial(ask, gateway.url, key)
    for prompt in ("no-usage", "usage=100x"):
        ask_for(f"a house [sandbox: {prompt}]")
    assert ask_for("a boat", {"Prefer": "respond-async"}).status_code == 202
    limited = gateway.store.key("images:1/day", shadow_limits=("requests:1/day",))
    assert [ask(gateway.url, limited).status_code for _ in range(2)] == [200, 429]
    shadowed = gateway.store.key(shadow_limits=("images:1/day",))
    assert [ask(gateway.url, shadowed).status_code for _ in range(2)] == [200, 200]
    site.change("usual", "UPDATE threshold_events SET tries = 9, next_try_at_ms = 1 WHERE next_try_at_ms IS NOT NULL")
    for statement in SLOW_CHANGES:
        site.change("usual", statement)
    # Somebody buys with the account's key beside the gateway.
    for _ in range(5):
        headers = {"authorization": f"Bearer {UPSTREAM_KEY}"}
        body = {**BODY, "prompt": "a secret"}
        httpx2.post(f"{site.sandbox.url}/images/generations", json=body, headers=headers, timeout=30)
    assert site.command("usual", "ledger", "reconcile", "--day", f"{utc_now():%Y-%m-%d}") == 1

    def one_round() -> None:
        with suppress(OSError, httpx2.HTTPError, RuntimeError):
            site.pool.submit(ask_for, "a fox [sandbox: delay=3s]")
            ask_for("a house [sandbox: status=500]")
            ask_for(stream=True, partial_images=1)
            edit(gateway.url, key)
            ask_for("a tree", {"Idempotency-Key": "one"})  # the first buys, the others are replays
            read = httpx2.get(f"{gateway.root}/admin/v1/changes", headers={"authorization": f"Bearer {ADMIN_KEY}"})
            assert read.status_code == 200

    return one_round


def poor(site: Site) -> None:
    """Two accounts, both without credit; and a configuration that cannot be read again."""
    catalog = site.folder / "catalog.toml"
    catalog.touch()
    keys = ",".join(f"{name}={UPSTREAM_KEY}-{name}" for name in ("main", "spare"))
    gateway = site.start("poor", ZENMUX_API_KEY="", ZENMUX_API_KEYS=keys, GATEWAY_CATALOG_FILE=str(catalog))
    assert ask(gateway.url, gateway.store.key(), "a house [sandbox: status=402]").status_code == 503
    catalog.write_text("[models.")
    gateway.process.send_signal(signal.SIGHUP)


def connections(site: Site) -> GatewayProcess:
    gateway = site.start("crowded", GATEWAY_CONNECTIONS_MAX="16")
    wait_until(site.has_scraped("crowded", "up"), "it is scraped")
    with ExitStack() as stack:
        for _ in range(30):
            stack.enter_context(socket.create_connection(("127.0.0.1", gateway.port)))
        time.sleep(1)  # until the last of them is refused, which nothing else tells
    name = "zenmux_gateway_connection_faults_total"
    wait_until(site.has_scraped("crowded", name), "the refusals are counted")
    return gateway


def log_lost(site: Site) -> Callable[[], None]:
    """Its log is a full disk, a row of its ledger is set back by hand, and its bill was last looked at long ago."""

    class Gateway(GatewayProcess):
        """One that logs where nothing can be written."""

    with Path("/dev/full").open("wb") as full:
        Gateway.stderr = full.fileno()
        gateway = site.stack.enter_context(Gateway(site.folder / "mute", site.sandbox.url))
    key = gateway.store.key()
    assert ask(gateway.url, key).status_code == 200
    gateway.store.settled(1)
    site.change("mute", "UPDATE reservations SET state = 'pending', resolved_at_ms = NULL")
    day = utc_now() - timedelta(days=14)
    site.command("mute", "ledger", "reconcile", "--day", f"{day:%Y-%m-%d}")
    site.prometheus.scrape(gateway.root, "zg-mute")
    headers = {"authorization": f"Bearer {key.text}"}

    def log_lines() -> None:
        for _ in range(5):
            httpx2.get(f"{gateway.url}/models", headers=headers)

    return log_lines


def sent(gateway: GatewayProcess) -> int:
    return sum(row["dispatched_at_ms"] is not None for row in gateway.store.rows())


def locked(site: Site) -> None:
    """The database is away while images are made, and while requests keep coming; before that, it is slow."""
    gateway = site.start("locked", GATEWAY_LEDGER_WAIT_SECONDS="0.5", GATEWAY_KEY_CACHE_SECONDS="300")
    careless = site.start("careless", GATEWAY_SPOOL_BYTES_MAX="0")
    key, other = gateway.store.key(), careless.store.key()
    assert ask(gateway.url, key).status_code == ask(careless.url, other).status_code == 200
    wait_until(site.has_scraped("locked", "zenmux_gateway_overhead_seconds_count"), "it is scraped")
    for _ in range(6):
        with site.locked("locked"):
            asked = site.pool.submit(ask, gateway.url, key)
            time.sleep(0.2)
        assert asked.result().status_code == 200
    images = [
        site.pool.submit(ask, url, key, "a fox [sandbox: delay=5s]")
        for url, key in ((gateway.url, key), (careless.url, other))
    ]
    for each, count in ((gateway, 8), (careless, 2)):
        wait_until(lambda: sent(each) == count, "it is sent")  # noqa: B023 - at once
    with site.locked("locked"), site.locked("careless"):
        for image in images:
            assert image.result().status_code == 200
        for _ in range(40):
            assert ask(gateway.url, key).status_code == 503
            if {("ZenmuxGatewaySettlementsWaiting", "warning"), ("ZenmuxGatewayCannotServe", "critical")} <= {
                *site.prometheus.seen
            }:
                break
    for each in (gateway, careless):
        assert not [row for row in each.store.settled() if row["state"] == "expired"]
        assert each.store.findings() == []


def suspended(site: Site) -> None:
    """A process stands still while its request is answered; it is taken for dead, and the answer costs more."""
    gateway = site.start("suspended", GATEWAY_HEARTBEAT_SECONDS="0.5")
    key = gateway.store.key("usd:0.008/day")
    asked = site.pool.submit(ask, gateway.url, key, "a fox [sandbox: delay=2s usage=3x]")
    wait_until(lambda: sent(gateway) == 1, "it is sent")
    gateway.process.send_signal(signal.SIGSTOP)
    try:
        for _ in range(30):
            site.command("suspended", "ledger", "expire")
            if gateway.store.rows()[0]["state"] == "expired":
                break
    finally:
        gateway.process.send_signal(signal.SIGCONT)
    assert asked.result().status_code == 200


def odd(site: Site) -> None:
    """An upstream that answers without an image, and knows a model that the catalog does not."""

    async def answer(request: RawRequest, writer: Any) -> None:
        writer.write(document(IMAGE if b"house" in request.body else b'{"created": 1, "data": []}'))

    upstream = site.stack.enter_context(RawUpstream(answer))
    gateway = site.start("odd", upstream.url, GATEWAY_UNKNOWN_MODELS="pass", GATEWAY_UNKNOWN_MODEL_HOLD_USD="0.1")
    key = gateway.store.key()
    assert ask(gateway.url, key, model="somebody/paints").status_code == 200
    for _ in range(2):
        assert [ask(gateway.url, key, "nothing").status_code for _ in range(8)] == [502] * 8
        wait_until(site.has_scraped("odd", "zenmux_gateway_upstream_errors_total"), "it is scraped")


def broken(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway in this process, with a part that raises."""
    settings = Settings(
        _env_file=None,
        zenmux_api_key=UPSTREAM_KEY,
        zenmux_base_url=site.sandbox.url,
        data_dir=site.folder / "broken",
    )
    gateway = site.stack.enter_context(RunningGateway(settings))
    site.prometheus.scrape(gateway.root, "zg-broken")

    def estimate(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("app.exchange.exchange.estimate", estimate)
    assert ask(gateway.url, gateway.store.key()).status_code == 500


@pytest.mark.long("waits for alerts that wait for half an hour, sixty times faster")
@pytest.mark.timeout(400)
def test_every_alert_fires_and_every_panel_shows_something(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "prometheus").mkdir()
    made = tmp_path / "rendered"
    chosen = ('selector=job=~"zg-.*"', "requestSeconds=1", "consoleQuerySeconds=0.1")
    options = [word for each in chosen for word in ("--set", each)]
    subprocess.run([sys.executable, ROOT / "deploy/mixin/render.py", *options, "--into", made], check=True)
    texts = {name: faster((made / name).read_text(encoding="utf-8")) for name in ("alerts.yml", "rules.yml")}
    expected = {(rule["alert"], rule["labels"]["severity"]) for rule in rules("alerts.yml")}

    with Prometheus(tmp_path / "prometheus", texts) as prometheus, ExitStack() as stack:
        site = Site(tmp_path, stack, prometheus, stack.enter_context(SandboxServer()))
        stack.enter_context(repeating(traffic(site), 1))
        stack.enter_context(repeating(log_lost(site), 1))
        poor(site)
        crowded = connections(site)
        broken(site, monkeypatch)
        odd(site)
        suspended(site)
        locked(site)
        crowded.terminate()
        with suppress(AssertionError):
            wait_until(lambda: expected <= prometheus.seen.keys(), "every alert has fired", 150)
        assert expected - prometheus.seen.keys() == set()
        assert_texts_are_whole(prometheus)
        assert silent(prometheus, [with_variables(query.expression) for query in panel_queries()]) == []
        assert silent(prometheus, list(ENVOY)) == []


def assert_texts_are_whole(prometheus: Prometheus) -> None:
    """Prometheus has filled the templates in."""
    for alert in prometheus.seen.values():
        for text in alert["annotations"].values():
            assert text
            assert not re.search(r"\{\{|error expanding|<no value>|\(\)", text), text


def silent(prometheus: Prometheus, expressions: list[str]) -> list[str]:
    """The expressions that give nothing, or no number."""
    found = []
    for expression in expressions:
        values = [float(sample["value"][1]) for sample in prometheus.query(expression)]
        if not values or all(math.isnan(value) for value in values):
            found.append(expression)
    return found


def test_the_page_says_how_each_alert_was_provoked() -> None:
    page = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    table = re.search(r"### What fires when\n(.*?)\n### ", page, re.DOTALL)
    assert table is not None
    rows = re.findall(r"^\| \[ZenmuxGateway(\w+)\]\(#(\w+)\) \| [^|]+ \| [^|]+ \| (.+) \|$", table[1], re.MULTILINE)
    assert {name: how for name, _, how in rows} == PROVOKED
    assert all(anchor == f"zenmuxgateway{name}".lower() for name, anchor, _ in rows)
    assert {f"ZenmuxGateway{name}" for name in PROVOKED} == {rule["alert"] for rule in rules("alerts.yml")}
