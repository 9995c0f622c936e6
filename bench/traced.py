"""The gateway that makes traces beside the one that makes none: of a tenth of its requests, and of every one.

They send them to a collector on loopback that counts the spans and drops them.
"""

import os
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bench.contenders import Gateway
from bench.figures import Results
from bench.scenarios import SMALL_MANY
from bench.tables import SUBJECT, Table, spread_text

SHARES = {"gateway-traced-tenth": "0.1", "gateway-traced-all": "1"}
_CPU = (SMALL_MANY.name, "cpu_ms_per_request")


class Collector:
    """`spans`: how many came, by the name of the service that sent them."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.spans: Counter[str] = Counter()

    def take(self, body: bytes) -> None:
        for each in ExportTraceServiceRequest.FromString(body).resource_spans:
            name = next(one.value.string_value for one in each.resource.attributes if one.key == "service.name")
            self.spans[name] += sum(len(scope.spans) for scope in each.scope_spans)


@contextmanager
def collecting(core: int) -> Iterator[Collector]:
    """A collector that answers on that core alone, so that it takes nothing of the contender's."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # connections are kept, as collectors do

        def do_POST(self) -> None:
            collector.take(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector = Collector(server.server_port)

    def serve() -> None:
        os.sched_setaffinity(0, {core})  # of this thread, and of those that it starts
        server.serve_forever()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class TracedGateway(Gateway):
    """The gateway, of which a share of the requests is traced."""

    def __init__(self, name: str, settings: Mapping[str, str], collector: Collector) -> None:
        self.name = name
        super().__init__({
            **settings,
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_SERVICE_NAME": name,
            "OTEL_TRACES_SAMPLER": "traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": SHARES[name],
            "NO_PROXY": "127.0.0.1",
        })  # fmt: skip


def traced_table(results: Results, spans: Mapping[str, int]) -> Table:
    """What a small request costs without and with traces; nothing where none was measured."""
    rows = tuple(
        (
            name,
            spread_text(results.of(name, *_CPU), "{:.3f}"),
            spread_text(results.added(name, *_CPU, than=SUBJECT), "{:+.3f}"),
            f"{spans.get(name, 0):,}",
        )
        for name in (SUBJECT, *SHARES)
        if SHARES.keys() & set(results.contenders)
    )
    heads = ("contender", "CPU ms/req", f"more than {SUBJECT} in the same round", "spans that came")
    return Table("Traces: 2 KB, 32 at once", heads, rows)
