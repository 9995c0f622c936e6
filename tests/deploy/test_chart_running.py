"""What Kubernetes does with the chart's resources, done with a real gateway: it asks the probes, `helm test` runs its
program, and the autoscaler looks for a metric."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.api.endpoints.health import _PROBE_SECONDS_MAX
from app.settings.settings import Settings
from tests.deploy.test_chart import EVERYTHING, HELM, POSTGRESQL, SQLITE, every_choice, one, pod, render
from tests.servers import UPSTREAM_KEY, RunningGateway
from tests.test_docs import exported

pytestmark = pytest.mark.skipif(
    HELM is None, reason="helm is not here, and `make tools` found none: the chart is not run"
)


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    folder = tmp_path_factory.mktemp("ready")
    with RunningGateway(Settings(_env_file=None, zenmux_api_key=UPSTREAM_KEY, data_dir=folder)) as gateway:
        yield gateway


@pytest.fixture
def not_ready(tmp_path: Path) -> Iterator[RunningGateway]:
    """It has no key of ZenMux."""
    with RunningGateway(Settings(_env_file=None, data_dir=tmp_path)) as gateway:
        yield gateway


def probed(values: dict[str, Any], gateway: RunningGateway) -> dict[str, int]:
    """What the gateway answers to each probe of its container."""
    [container] = pod(render(values))["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    variables = {variable["name"]: variable.get("value") for variable in container["env"]}
    answers = {}
    for name in ("startupProbe", "livenessProbe", "readinessProbe"):
        asked = container[name]["httpGet"]
        assert str(ports[asked["port"]]) == variables["GATEWAY_PORT"]
        answers[name] = httpx2.get(f"{gateway.root}{asked['path']}").status_code
    return answers


@every_choice
def test_a_gateway_that_is_not_ready_is_not_restarted(
    values: dict[str, Any], ready: RunningGateway, not_ready: RunningGateway
) -> None:
    assert probed(values, ready) == {"startupProbe": 200, "livenessProbe": 200, "readinessProbe": 200}
    assert probed(values, not_ready) == {"startupProbe": 200, "livenessProbe": 200, "readinessProbe": 503}


@every_choice
def test_probes_wait_for_what_takes_its_time(values: dict[str, Any]) -> None:
    [container] = pod(render(values))["containers"]
    startup = container["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 300  # a large database's upgrade
    assert container["readinessProbe"]["timeoutSeconds"] > 2 * _PROBE_SECONDS_MAX  # one read, one write


def helm_test(gateway: RunningGateway) -> subprocess.CompletedProcess[str]:
    """Runs the test's program. In its cluster, the Service's name leads to a pod."""
    documents = render(SQLITE)
    [container] = one(documents, "Pod")["spec"]["containers"]
    service = one(documents, "Service")
    [port] = service["spec"]["ports"]
    address = f"http://{service['metadata']['name']}:{port['port']}/"
    python, *arguments = container["command"]
    assert python == "python"
    assert arguments[-1].startswith(address)
    called = [sys.executable, *(argument.replace(address, f"{gateway.root}/") for argument in arguments)]
    return subprocess.run(called, capture_output=True, text=True, timeout=60, check=False)


def test_helm_test_says_whether_the_gateway_is_ready(ready: RunningGateway, not_ready: RunningGateway) -> None:
    found = helm_test(ready)
    assert (found.returncode, found.stderr) == (0, "")
    assert "ready" in found.stdout
    refused = helm_test(not_ready)
    assert refused.returncode == 1
    assert "503" in refused.stderr


def test_one_pod_at_a_time_is_taken_for_maintenance() -> None:
    documents = render(POSTGRESQL)
    budget = one(documents, "PodDisruptionBudget")["spec"]
    assert budget["maxUnavailable"] == 1
    labels = one(documents, "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert budget["selector"]["matchLabels"].items() <= labels.items()
    assert one(documents, "Service")["spec"]["selector"] == budget["selector"]["matchLabels"]
    switched_off = render({**POSTGRESQL, "podDisruptionBudget": {"enabled": False}})
    assert "PodDisruptionBudget" not in {document["kind"] for document in switched_off}


def test_pods_are_added_by_what_is_in_flight() -> None:
    documents = render(EVERYTHING)
    autoscaler = one(documents, "HorizontalPodAutoscaler")["spec"]
    deployment = one(documents, "Deployment")
    assert autoscaler["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert "replicas" not in deployment["spec"], "an upgrade would undo what the autoscaler chose"
    [metric] = autoscaler["metrics"]
    assert exported()[metric["pods"]["metric"]["name"]][0] == "gauge"
    assert "HorizontalPodAutoscaler" not in {document["kind"] for document in render(POSTGRESQL)}
