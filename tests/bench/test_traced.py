"""The benchmark of traces: its gateways send every span, or a share, to a collector that counts them."""

import os
import shutil
from pathlib import Path

import httpx2
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bench.__main__ import read_options
from bench.contenders import Place
from bench.figures import Results, Run
from bench.processes import Cores
from bench.rig import Rig
from bench.traced import TracedGateway, collecting, traced_table
from tests.servers import wait_until

CORE = min(os.sched_getaffinity(0))


def test_a_collector_counts_what_each_service_sends() -> None:
    sent = ExportTraceServiceRequest()
    one = sent.resource_spans.add()
    name = one.resource.attributes.add()
    name.key, name.value.string_value = "service.name", "gateway-traced-all"
    scope = one.scope_spans.add()
    for _ in range(3):
        scope.spans.add()
    with collecting(CORE) as collector:
        for _ in range(2):
            assert httpx2.post(f"{collector.url}/v1/traces", content=sent.SerializeToString()).status_code == 200
        assert collector.spans == {"gateway-traced-all": 6}


def test_the_table_compares_round_by_round() -> None:
    def run(contender: str, number: int, cpu: float) -> Run:
        return Run("2KB c=32", False, contender, number, {"cpu_ms_per_request": cpu})

    plain = (run("gateway", 0, 0.5), run("gateway", 1, 0.75))
    traced = (run("gateway-traced-all", 0, 0.75), run("gateway-traced-all", 1, 1.25))
    table = traced_table(Results(("gateway", "gateway-traced-all"), plain + traced), {"gateway-traced-all": 1234})
    assert table.rows == (
        ("gateway", "0.625 (0.500–0.750)", "+0.000", "0"),
        ("gateway-traced-tenth", "–", "–", "0"),
        ("gateway-traced-all", "1.000 (0.750–1.250)", "+0.375 (+0.250–+0.500)", "1,234"),
    )
    assert traced_table(Results(("gateway",), plain), {}).rows == ()


@pytest.mark.skipif(
    not all(map(shutil.which, ("cc", "openssl", "taskset"))), reason="needs a C compiler, openssl, taskset"
)
def test_the_gateway_sends_its_spans_there(tmp_path: Path) -> None:
    assert read_options(["--traces"]).traces
    with Rig(tmp_path / "rig", Cores(CORE, CORE)) as rig, collecting(CORE) as collector:
        gateway = TracedGateway("gateway-traced-all", {"OTEL_BSP_SCHEDULE_DELAY": "50"}, collector)
        running = gateway.start(Place(tmp_path, CORE, f"http://127.0.0.1:{rig.port}/api/v1", rig.certificate))
        try:
            wait_until(lambda: collector.spans["gateway-traced-all"] == 4, "the spans of the first answer came")
        finally:
            running.stop()
