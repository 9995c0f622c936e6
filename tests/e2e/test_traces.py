"""Traces of real requests, as a collector receives them over OTLP: their spans, whose parents they have, what they say
and what they never say. A collector that is away costs nothing."""

import gzip
import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import httpx2
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from app.database.changes import Change
from app.database.engine import writing
from app.identity.people.teams import create_team
from app.identity.people.users import find_user, set_user_team
from app.main import utc_now
from app.sandbox.server import SandboxServer
from tests.e2e.conftest import StartGateway
from tests.e2e.test_jobs import silent_upstream
from tests.image_files import image_file
from tests.raw_upstream import RawRequest, RawUpstream, document
from tests.servers import GatewayProcess, Key, wait_until

BODY = {"model": "gpt-image-2", "size": "1024x1024", "quality": "low"}
SECRET = "a house of a colour nobody may know"
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Collector:
    """Keeps every span that is sent to it, by its name."""

    def __init__(self) -> None:
        self.spans: dict[str, list[Any]] = {}
        self.resources: list[dict[str, Any]] = []
        self.raw = b""
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.take(body)
                self.send_response(200)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def take(self, body: bytes) -> None:
        self.raw += body
        message = ExportTraceServiceRequest.FromString(body)
        for resource_spans in message.resource_spans:
            self.resources.append(attributes_of(resource_spans.resource))
            for scope in resource_spans.scope_spans:
                for span in scope.spans:
                    self.spans.setdefault(span.name, []).append(span)

    def wait_for(self, *names: str, count: int = 1) -> None:
        wait_until(lambda: all(len(self.spans.get(name, [])) >= count for name in names), f"{names} were sent")


def attributes_of(message: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in message.attributes}


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with Collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        monkeypatch.setenv("NO_PROXY", "*")
        yield collector


def ask(url: str, key: Key, prompt: str = SECRET, headers: dict[str, str] | None = None, **fields: Any) -> Any:
    return httpx2.post(
        f"{url}/images/generations",
        json={**BODY, "prompt": prompt, **fields},
        headers={"authorization": f"Bearer {key.text}", **(headers or {})},
        timeout=30,
    )


def exemplars(root: str) -> set[str]:
    """The traces that the durations point to, read as Prometheus reads them."""
    answer = httpx2.get(f"{root}/metrics", headers={"accept": "application/openmetrics-text;version=1.0.0,*/*"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    return {
        sample.exemplar.labels["trace_id"]
        for family in text_string_to_metric_families(answer.text)  # type: ignore[no-untyped-call]
        for sample in family.samples
        if sample.exemplar and family.name == "zenmux_gateway_request_duration_seconds"
    }


SERVER = "POST /v1/images/generations"
CLIENT = "image_generation gpt-image-2"
JOB = "job image_generation"


def test_a_request_has_its_spans(
    collector: Collector, start_gateway: StartGateway, sandbox: SandboxServer, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = start_gateway(sandbox.url)
    key = gateway.store.key()
    caplog.set_level("INFO", "gateway.request")
    answer = ask(gateway.url, key, headers={"traceparent": PARENT}, stream=True, partial_images=2)
    assert answer.status_code == 200
    sent = [event for event in answer.content.split(b"\n\n") if event.startswith(b"event: image_generation.partial")]
    collector.wait_for(SERVER, "reserve", CLIENT, "settle")
    [server], [reserve], [client], [settle] = (collector.spans[name] for name in (SERVER, "reserve", CLIENT, "settle"))

    trace_id, parent_id = PARENT.split("-")[1:3]
    assert {span.trace_id.hex() for span in (server, reserve, client, settle)} == {trace_id}
    assert server.parent_span_id.hex() == parent_id
    assert {span.parent_span_id for span in (reserve, client, settle)} == {server.span_id}
    assert (server.kind, client.kind) == (server.SPAN_KIND_SERVER, client.SPAN_KIND_CLIENT)
    begun = [span.start_time_unix_nano for span in (server, reserve, client, settle)]
    assert begun == sorted(begun)
    ended = [span.end_time_unix_nano for span in (reserve, client, settle)]
    assert ended == sorted(ended)
    assert client.end_time_unix_nano == settle.start_time_unix_nano, "one moment is the same in every span"
    assert abs(server.start_time_unix_nano / 1e9 - time.time()) < 60

    [row] = gateway.store.settled(1)
    assert attributes_of(server) | {} == {
        "http.request.method": "POST",
        "http.route": "/v1/images/generations",
        "url.path": "/v1/images/generations",
        "url.scheme": "http",
        "http.response.status_code": 200,
        "zenmux_gateway.request_id": row["id"],
        "zenmux_gateway.key_id": key.id,
        "zenmux_gateway.outcome": "completed",
    }
    asked = attributes_of(client)
    assert asked.pop("gen_ai.response.time_to_first_chunk") >= 0
    assert asked == {
        "gen_ai.operation.name": "image_generation",
        "gen_ai.provider.name": "zenmux",
        "gen_ai.request.model": "gpt-image-2",
        "gen_ai.response.model": "gpt-image-2",
        "gen_ai.output.type": "image",
        "gen_ai.request.choice.count": 1,
        "gen_ai.request.stream": True,
        "gen_ai.usage.input_tokens": row["input_text_tokens"],
        "gen_ai.usage.output_tokens": row["output_image_tokens"],
        "gen_ai.usage.text.input_tokens": row["input_text_tokens"],
        "gen_ai.usage.image.input_tokens": 0,
        "gen_ai.usage.text.output_tokens": 0,
        "gen_ai.usage.image.output_tokens": row["output_image_tokens"],
        "server.address": "127.0.0.1",
        "zenmux_gateway.size": "1024x1024",
        "zenmux_gateway.quality": "low",
        "zenmux_gateway.upstream_request_id": row["upstream_request_id"],
    }
    events = [(event.name, attributes_of(event)) for event in client.events]
    assert events == [
        ("dispatched", {}),
        ("first_chunk", {}),
        ("partial_image", {"index": 0, "bytes": len(sent[0]) + 1}),  # with the end of its last line
        ("partial_image", {"index": 1, "bytes": len(sent[1]) + 1}),
    ]
    assert attributes_of(settle)["zenmux_gateway.charged_nanousd"] == row["charged_nanousd"]
    assert attributes_of(reserve) == {"zenmux_gateway.held_nanousd": row["held_nanousd"]}
    assert collector.resources[0]["service.name"] == "zenmux-gateway"
    # The log line of the request leads to its trace; nothing leads to its prompt.
    [line] = [record for record in caplog.records if record.message == "request"]
    assert vars(line)["fields"]["trace_id"] == trace_id
    assert exemplars(gateway.root) == {trace_id}
    assert SECRET.encode() not in collector.raw
    assert key.text.encode() not in collector.raw


def test_a_caller_that_leaves_ends_its_span_and_the_settlement_points_back(
    collector: Collector, start_gateway: StartGateway, sandbox: SandboxServer
) -> None:
    gateway = start_gateway(sandbox.url)
    key = gateway.store.key()
    body = json.dumps({**BODY, "prompt": "a fox [sandbox: delay=1s]"})
    with socket.create_connection(gateway.socket.getsockname()) as connection:
        connection.sendall(
            f"POST /v1/images/generations HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {key.text}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()
        )
        wait_until(lambda: any(row["dispatched_at_ms"] for row in gateway.store.rows()), "it is sent")
    collector.wait_for(SERVER, CLIENT, "settle")
    [server], [client], [settle] = (collector.spans[name] for name in (SERVER, CLIENT, "settle"))
    assert attributes_of(server)["error.type"] == "client_closed"
    assert server.end_time_unix_nano < client.end_time_unix_nano
    assert "error.type" not in attributes_of(client)
    assert client.trace_id == server.trace_id
    assert settle.trace_id != server.trace_id
    assert settle.parent_span_id == b""
    assert [(link.trace_id, link.span_id) for link in settle.links] == [(server.trace_id, server.span_id)]
    assert attributes_of(settle)["zenmux_gateway.outcome"] == "client_left"


@pytest.mark.parametrize("is_job", [False, True])
def test_an_edit_has_its_spans_and_not_its_image(
    collector: Collector, start_gateway: StartGateway, sandbox: SandboxServer, is_job: bool
) -> None:
    gateway = start_gateway(sandbox.url)
    key, image = gateway.store.key(), image_file()
    more = {} if is_job else {"stream": "true", "partial_images": "1"}
    headers = {
        "authorization": f"Bearer {key.text}",
        "traceparent": PARENT,
        **({"prefer": "respond-async"} if is_job else {}),
    }
    answer = httpx2.post(
        f"{gateway.url}/images/edits",
        data={**BODY, "prompt": SECRET, **more},
        files={"image": image},
        headers=headers,
        timeout=30,
    )
    assert answer.status_code == (202 if is_job else 200), answer.text
    root = "job image_edit" if is_job else "POST /v1/images/edits"
    collector.wait_for(root, "reserve", "image_edit gpt-image-2", "settle")
    spans = [collector.spans[name][0] for name in (root, "reserve", "image_edit gpt-image-2", "settle")]
    assert {span.trace_id.hex() for span in spans} == {PARENT.split("-")[1]}
    assert {span.parent_span_id for span in spans[1:]} == {spans[0].span_id}
    [row] = gateway.store.settled(1)
    asked = attributes_of(spans[2])
    assert (asked["gen_ai.operation.name"], asked["gen_ai.output.type"]) == ("image_edit", "image")
    assert asked["gen_ai.usage.image.input_tokens"] == row["input_image_tokens"] > 0
    events = [event.name for event in spans[2].events]
    assert events == ["dispatched", "first_chunk", *([] if is_job else ["partial_image"])]
    assert attributes_of(spans[3])["zenmux_gateway.charged_nanousd"] == row["charged_nanousd"]
    assert SECRET.encode() not in collector.raw
    assert image[:64] not in collector.raw


def test_each_of_several_workers_sends_its_spans(
    collector: Collector, sandbox: SandboxServer, tmp_path: Path, postgresql_url: str
) -> None:
    environment = {
        "GATEWAY_DATABASE_URL": postgresql_url,
        "GATEWAY_WORKERS": "2",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "50",
        "NO_PROXY": "*",
    }
    with GatewayProcess(tmp_path / "data", sandbox.url, **environment) as gateway:
        wait_until(lambda: "listening" in gateway.log(), "both workers serve")
        key = gateway.store.key()
        for _ in range(12):
            assert ask(gateway.url, key).status_code == 200  # on a connection of its own
        rows = gateway.store.settled(12)
        assert len({row["instance"] for row in rows}) == 2
        collector.wait_for(SERVER, "reserve", CLIENT, "settle", count=12)
        gateway.terminate()  # its log is whole then
        assert gateway.process.wait(20) == 0
        lines = [json.loads(line) for line in gateway.log().splitlines() if '"request_id"' in line]
    made = {attributes_of(span)["zenmux_gateway.request_id"]: span.trace_id.hex() for span in collector.spans[SERVER]}
    assert made == {line["request_id"]: line["trace_id"] for line in lines if line["event"] == "request"}
    assert made.keys() == {row["id"] for row in rows}
    assert len(set(made.values())) == 12
    assert [len(collector.spans[name]) for name in ("reserve", CLIENT, "settle")] == [12, 12, 12]


@pytest.mark.parametrize("wait", ["", ", wait=50"])
def test_a_job_is_a_trace_that_lasts_until_its_end(
    collector: Collector,
    start_gateway: StartGateway,
    caplog: pytest.LogCaptureFixture,
    sandbox: SandboxServer,
    wait: str,
) -> None:
    gateway = start_gateway(sandbox.url)
    caplog.set_level("INFO", "gateway.request")
    headers = {"prefer": f"respond-async{wait}", "traceparent": PARENT}
    prompt = f"{SECRET} [sandbox: delay=1s]"
    assert ask(gateway.url, gateway.store.key(), prompt, headers=headers).status_code == (200 if wait else 202)
    collector.wait_for(JOB, "reserve", CLIENT, "settle")
    [job], [reserve], [client], [settle] = (collector.spans[name] for name in (JOB, "reserve", CLIENT, "settle"))

    trace_id, parent_id = PARENT.split("-")[1:3]
    assert {span.trace_id.hex() for span in (job, reserve, client, settle)} == {trace_id}
    assert (job.parent_span_id.hex(), job.kind) == (parent_id, job.SPAN_KIND_CONSUMER)
    assert {span.parent_span_id for span in (reserve, client, settle)} == {job.span_id}
    assert job.start_time_unix_nano <= reserve.start_time_unix_nano
    assert client.end_time_unix_nano - job.start_time_unix_nano >= 1e9, "it lasts as long as the image takes"
    assert client.start_time_unix_nano < settle.start_time_unix_nano < job.end_time_unix_nano
    [row] = gateway.store.settled(1)
    assert attributes_of(job) == {
        "zenmux_gateway.request_id": row["id"],
        "zenmux_gateway.key_id": row["key_id"],
        "zenmux_gateway.outcome": "completed",
    }
    assert attributes_of(settle)["zenmux_gateway.charged_nanousd"] == row["charged_nanousd"]
    # The submission has the job's id in the log, and no span beside the job's.
    lines = [vars(record)["fields"] for record in caplog.records if record.message == "request"]
    assert {line["request_id"] for line in lines} == {row["id"]}
    assert [line["trace_id"] for line in lines if "operation" in line] == [trace_id]
    assert SERVER not in collector.spans
    assert exemplars(gateway.root) == {trace_id}
    assert SECRET.encode() not in collector.raw


def test_a_job_without_a_parent_has_a_trace_and_one_that_fails_says_so(
    collector: Collector, start_gateway: StartGateway, sandbox: SandboxServer
) -> None:
    gateway = start_gateway(sandbox.url)
    key = gateway.store.key()
    assert ask(gateway.url, key, "a house [sandbox: status=500]", {"prefer": "respond-async"}).status_code == 202
    collector.wait_for(JOB, CLIENT)
    [job], [client] = collector.spans[JOB], collector.spans[CLIENT]
    assert job.parent_span_id == b""
    assert client.trace_id == job.trace_id
    assert attributes_of(job)["error.type"] == "upstream_failed"
    assert attributes_of(client)["error.type"]


def test_a_submission_that_makes_no_job_is_a_request_like_any_other(
    collector: Collector, start_gateway: StartGateway, sandbox: SandboxServer
) -> None:
    gateway = start_gateway(sandbox.url)
    key, once = gateway.store.key("images:1/day"), {"prefer": "respond-async", "idempotency-key": "once"}
    assert ask(gateway.url, key, headers=once).status_code == 202
    collector.wait_for(JOB)
    assert ask(gateway.url, key, headers=once).status_code == 202
    collector.wait_for(SERVER)
    assert attributes_of(collector.spans[SERVER][0])["zenmux_gateway.outcome"] == "replayed"
    assert ask(gateway.url, key, headers={"prefer": "respond-async"}).status_code == 429
    collector.wait_for(SERVER, "reserve", count=2)
    refused, reserve = collector.spans[SERVER][1], collector.spans["reserve"][1]
    assert attributes_of(refused)["zenmux_gateway.outcome"] == "refused"
    assert attributes_of(reserve)["error.type"] == "insufficient_quota"
    assert reserve.parent_span_id == refused.span_id
    assert len(collector.spans[JOB]) == 1


def test_a_job_that_is_cancelled_keeps_its_settlement(collector: Collector, start_gateway: StartGateway) -> None:
    with silent_upstream() as url:
        gateway = start_gateway(url)
        key = gateway.store.key()
        path = ask(gateway.url, key, headers={"prefer": "respond-async"}).headers["location"]
        headers = {"authorization": f"Bearer {key.text}"}
        assert httpx2.delete(f"{gateway.root}{path}", headers=headers).json()["status"] == "cancelled"
        collector.wait_for(JOB, "reserve", "settle")
    [job], [settle] = collector.spans[JOB], collector.spans["settle"]
    assert (settle.trace_id, settle.parent_span_id) == (job.trace_id, job.span_id)
    assert attributes_of(job)["zenmux_gateway.outcome"] == "client_left"
    assert "error.type" not in attributes_of(job)


def test_failures_are_errors_of_the_span_they_belong_to(
    collector: Collector, start_gateway: StartGateway, sandbox: SandboxServer
) -> None:
    gateway = start_gateway(sandbox.url)
    key = gateway.store.key("images:1/day")
    assert ask(gateway.url, key, "a house [sandbox: status=500]").status_code >= 500
    collector.wait_for(SERVER, CLIENT)
    assert attributes_of(collector.spans[CLIENT][0])["error.type"]
    assert attributes_of(collector.spans[SERVER][0])["error.type"] == "upstream_failed"
    # A limit refuses the next: nothing was asked, and it is no error of the server's.
    assert ask(gateway.url, key).status_code == 429
    collector.wait_for(SERVER, count=2)
    refused = collector.spans[SERVER][1]
    assert attributes_of(refused)["zenmux_gateway.outcome"] == "refused"
    assert "error.type" not in attributes_of(refused)
    assert len(collector.spans[CLIENT]) == 1
    assert attributes_of(collector.spans["reserve"][1])["error.type"] == "insufficient_quota"


@pytest.mark.parametrize("switch", ["", "true"])
def test_the_team_is_told_and_the_user_only_where_that_is_switched_on(
    collector: Collector,
    start_gateway: StartGateway,
    sandbox: SandboxServer,
    monkeypatch: pytest.MonkeyPatch,
    switch: str,
) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_ZENMUX_GATEWAY_CAPTURE_USER_ID", switch)
    gateway = start_gateway(sandbox.url)
    key, change = gateway.store.key(user="zoe.q.public"), Change("test", utc_now(), lambda: "change")
    with writing(gateway.store.engine) as connection:
        user = find_user(connection, "zoe.q.public")
        assert user is not None
        set_user_team(connection, user, create_team(connection, "Design", change=change), change=change)
    assert ask(gateway.url, key).status_code == 200
    assert ask(gateway.url, key, headers={"prefer": "respond-async"}).status_code == 202
    collector.wait_for(SERVER, JOB)
    for name in (SERVER, JOB):
        told = attributes_of(collector.spans[name][0])
        assert told["zenmux_gateway.team"] == "Design"
        assert told.get("user.id") == (user.id if switch else None)
    assert (user.id.encode() in collector.raw) is bool(switch)
    assert b"zoe" not in collector.raw


def test_what_the_caller_does_not_sample_is_not_sent(
    collector: Collector, start_gateway: StartGateway, sandbox: SandboxServer
) -> None:
    gateway = start_gateway(sandbox.url)
    key = gateway.store.key()
    assert ask(gateway.url, key, headers={"traceparent": PARENT[:-1] + "0"}).status_code == 200
    assert ask(gateway.url, key, headers={"traceparent": "nonsense"}).status_code == 200
    collector.wait_for(SERVER, "settle")
    assert [span.parent_span_id for span in collector.spans[SERVER]] == [b""]


def test_nothing_of_it_goes_upstream(collector: Collector, start_gateway: StartGateway) -> None:
    async def answer(_: RawRequest, writer: Any) -> None:
        writer.write(document(b'{"created": 1, "data": [{"b64_json": "aGVsbG8="}]}'))

    with RawUpstream(answer) as upstream:
        gateway = start_gateway(upstream.url)
        assert ask(gateway.url, gateway.store.key(), headers={"traceparent": PARENT}).status_code == 200
        assert not {"traceparent", "tracestate"} & upstream.requests[0].headers.keys()


@pytest.mark.parametrize("kind", ["refuses", "silent"])
def test_a_collector_that_is_away_costs_nothing(tmp_path: Path, sandbox: SandboxServer, kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and never answers
        port = silent.getsockname()[1] if kind == "silent" else 9
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}", "OTEL_BSP_SCHEDULE_DELAY": "50"}
        with GatewayProcess(tmp_path / "data", sandbox.url, NO_PROXY="*", **environment) as gateway:
            key = gateway.store.key()
            for _ in range(3):
                assert ask(gateway.url, key).status_code == 200
            gateway.terminate()
            assert gateway.process.wait(5) == 0
            assert "Traceback" not in gateway.log()
            assert "traces_not_sent" in gateway.log() or kind == "refuses"


def test_without_a_collector_nothing_is_loaded(tmp_path: Path, sandbox: SandboxServer) -> None:
    with GatewayProcess(tmp_path / "data", sandbox.url) as gateway:
        assert ask(gateway.url, gateway.store.key()).status_code == 200
        maps = Path(f"/proc/{gateway.process.pid}/maps").read_text(encoding="utf-8")
        assert "protobuf" not in maps
        assert "trace_id" not in gateway.log()
