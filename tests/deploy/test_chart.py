"""The Helm chart: a real Helm lints and renders it, Kubernetes' own schemas hold for what comes out, values that cannot
work are refused, and what a pod is given are settings that the gateway takes."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.settings.secret_files import secret_names
from app.settings.settings import Settings, load_settings
from tests.deploy.mixin import DASHBOARDS, DEPLOY, ROOT, find, rules

CHART = DEPLOY / "chart"
HELM = shutil.which("helm") or shutil.which("helm", path=str(ROOT / ".tools/helm"))
VALIDATE = ROOT / ".venv-clients/deploy_tools/bin/kubernetes-validate"
PROMTOOL = find("promtool")
CUSTOM_KINDS = {"HTTPRoute", "PrometheusRule", "ServiceMonitor"}  # of others: Kubernetes has no schema of theirs

SECRET: dict[str, Any] = {"existingSecret": "images", "files": {"ZENMUX_API_KEY": "zenmux-api-key"}}
SQLITE: dict[str, Any] = {"secrets": SECRET}
POSTGRESQL: dict[str, Any] = {
    "database": {"type": "postgresql"},
    "replicaCount": 3,
    "secrets": {
        "existingSecret": "images",
        "files": {"GATEWAY_DATABASE_URL": "database-url", "GATEWAY_METRICS_KEY": "metrics-key"},
    },
}
EVERYTHING: dict[str, Any] = {
    **POSTGRESQL,
    "settings": {"GATEWAY_BODY_BYTES_MAX": 2000000, "GATEWAY_SANDBOX": False, "GATEWAY_COMPATIBILITY": "strict"},
    "extraEnv": [{"name": "AWS_REGION", "value": "eu-west-1"}],
    "publicUrl": "https://images.example.com",
    "bootstrap": {"content": {"version": 1, "teams": {"design": {"limits": ["usd:20/day"]}}}},
    "image": {"digest": "sha256:" + "a" * 64},
    "imagePullSecrets": [{"name": "registry"}],
    "persistence": {"existingClaim": "shared"},
    "ingress": {"enabled": True, "className": "nginx", "host": "images.example.com", "tlsSecret": "images-tls"},
    "httpRoute": {"enabled": True, "parentRefs": [{"name": "public"}], "hostnames": ["images.example.com"]},
    "networkPolicy": {
        "ingressFrom": [{"namespaceSelector": {"matchLabels": {"name": "proxies"}}}],
        "extraEgress": [{"ports": [{"port": 4318, "protocol": "TCP"}]}],
    },
    "autoscaling": {"enabled": True},
    "monitoring": {
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "prometheusRule": {"enabled": True, "runbookBase": "https://wiki.example/operations"},
        "dashboards": {"enabled": True},
    },
    "podAnnotations": {"example.com/team": "images"},
    "podLabels": {"team": "images"},
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "tolerations": [{"key": "images", "operator": "Exists"}],
    "affinity": {"podAntiAffinity": {}},
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}
    ],
    "priorityClassName": "high",
    "extraVolumes": [{"name": "catalog", "configMap": {"name": "catalog"}}],
    "extraVolumeMounts": [{"name": "catalog", "mountPath": "/etc/catalog"}],
}
every_choice = pytest.mark.parametrize(
    "values", [SQLITE, POSTGRESQL, EVERYTHING], ids=["sqlite", "postgresql", "everything"]
)

pytestmark = pytest.mark.skipif(
    HELM is None, reason="helm is not here, and `make tools` found none: the chart is not run"
)


def helm(*arguments: str, values: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    assert HELM is not None
    command = [HELM, *arguments, "--values", "-"]
    return subprocess.run(command, input=json.dumps(values), capture_output=True, text=True, timeout=60, check=False)


def render(values: dict[str, Any], name: str = "images") -> list[dict[str, Any]]:
    made = helm("template", name, str(CHART), values=values)
    assert made.returncode == 0, made.stderr
    return [document for document in yaml.safe_load_all(made.stdout) if document]


def one(documents: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    [found] = [document for document in documents if document["kind"] == kind]
    return found


def pod(documents: list[dict[str, Any]]) -> dict[str, Any]:
    spec: dict[str, Any] = one(documents, "Deployment")["spec"]["template"]["spec"]
    return spec


def environment(documents: list[dict[str, Any]]) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in pod(documents)["containers"][0]["env"]}


def refusal(**values: Any) -> str:
    made = helm("template", "images", str(CHART), values={**SQLITE, **values})
    assert made.returncode != 0
    return made.stderr


@every_choice
def test_helm_finds_nothing_to_say_against_it(values: dict[str, Any]) -> None:
    told = helm("lint", "--strict", str(CHART), values=values)
    assert told.returncode == 0, told.stdout


@pytest.mark.long("the schemas of Kubernetes are read")
@pytest.mark.skipif(not VALIDATE.exists(), reason="kubernetes-validate could not be installed (`make clients`)")
def test_kubernetes_takes_every_resource(tmp_path: Path) -> None:
    chosen = [document for values in (SQLITE, POSTGRESQL, EVERYTHING) for document in render(values)]
    # It takes half a second for each: of those that differ in their text alone, one is enough.
    resources = {json.dumps(_shape(document)): document for document in chosen if document["kind"] not in CUSTOM_KINDS}
    (tmp_path / "resources.yaml").write_text(yaml.safe_dump_all(resources.values()))
    told = subprocess.run(
        [VALIDATE, "--strict", tmp_path / "resources.yaml"], capture_output=True, text=True, timeout=110, check=False
    )
    assert told.returncode == 0, told.stdout + told.stderr
    assert told.stdout.count("passed") == len(resources)


def test_everything_has_every_kind_there_is() -> None:
    kinds = {document["kind"] for document in render(EVERYTHING)} | {document["kind"] for document in render(SQLITE)}
    written = {
        kind
        for template in (CHART / "templates").rglob("*.yaml")
        for kind in re.findall(r"^kind: (\w+)", template.read_text(), re.MULTILINE)
    }
    assert kinds == written


class TestOnSqlite:
    def test_one_pod_which_is_stopped_before_the_next_one_starts(self) -> None:
        deployment = one(render(SQLITE), "Deployment")["spec"]
        assert (deployment["replicas"], deployment["strategy"]) == (1, {"type": "Recreate"})

    def test_the_ledger_outlives_the_release(self) -> None:
        claim = one(render(SQLITE), "PersistentVolumeClaim")["metadata"]
        assert claim["annotations"]["helm.sh/resource-policy"] == "keep"
        volumes = {volume["name"]: volume for volume in pod(render(SQLITE))["volumes"]}
        assert volumes["data"]["persistentVolumeClaim"]["claimName"] == claim["name"]

    def test_more_than_one_pod_is_refused(self) -> None:
        assert "at '/replicaCount': maximum: got 2, want 1" in refusal(replicaCount=2)
        assert "/autoscaling/enabled" in refusal(autoscaling={"enabled": True})

    def test_a_database_elsewhere_is_refused(self) -> None:
        assert "/secrets/files" in refusal(secrets=POSTGRESQL["secrets"])


class TestOnPostgresql:
    def test_pods_are_replaced_one_after_the_other(self) -> None:
        deployment = one(render(POSTGRESQL), "Deployment")["spec"]
        assert deployment["replicas"] == 3
        assert deployment["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
        assert "PersistentVolumeClaim" not in {document["kind"] for document in render(POSTGRESQL)}

    def test_it_needs_the_database_s_address(self) -> None:
        assert "GATEWAY_DATABASE_URL" in refusal(database={"type": "postgresql"})

    def test_its_port_is_open(self) -> None:
        assert {"ports": [{"port": 5432, "protocol": "TCP"}]} in one(render(POSTGRESQL), "NetworkPolicy")["spec"][
            "egress"
        ]


class TestSecrets:
    def test_the_chart_makes_none_and_names_yours(self) -> None:
        documents = render(EVERYTHING)
        assert "Secret" not in {document["kind"] for document in documents}
        volumes = {volume["name"]: volume for volume in pod(documents)["volumes"]}
        assert volumes["secrets"]["secret"]["secretName"] == "images"
        assert "at '/secrets/existingSecret': minLength: got 0, want 1" in refusal(secrets={"existingSecret": ""})

    def test_each_is_a_file_and_none_is_in_the_environment(self) -> None:
        secrets = secret_names(Settings.model_fields, "GATEWAY_")
        variables = environment(render(EVERYTHING))
        assert not secrets & variables.keys()
        files = {name: variables[f"{name}_FILE"] for name in secrets if f"{name}_FILE" in variables}
        assert files.keys() == {"ZENMUX_API_KEY", "GATEWAY_DATABASE_URL", "GATEWAY_METRICS_KEY"}

    @pytest.mark.parametrize("name", sorted(secret_names(Settings.model_fields, "GATEWAY_")))
    def test_one_among_the_settings_is_refused(self, name: str) -> None:
        assert f"invalid propertyName '{name}'" in refusal(settings={name: "x"})
        assert f"invalid propertyName '{name}_FILE'" in refusal(settings={f"{name}_FILE": "x"})

    def test_what_the_chart_sets_itself_is_refused_among_the_settings(self) -> None:
        own = environment(render(EVERYTHING)).keys() - EVERYTHING["settings"].keys()
        for name in (name for name in own if name.startswith("GATEWAY_") and not name.endswith("KEY_FILE")):
            assert f"invalid propertyName '{name}'" in refusal(settings={name: "x"})

    def test_every_other_setting_is_taken(self) -> None:
        names = {line.split("=")[0].lstrip("# ") for line in _example_lines()} - secret_names(
            Settings.model_fields, "GATEWAY_"
        )
        own = environment(render(EVERYTHING)).keys() - EVERYTHING["settings"].keys()
        variables = environment(render({**SQLITE, "settings": dict.fromkeys(names - own, "x")}))
        assert names <= variables.keys() | own


def test_the_gateway_takes_what_a_pod_is_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    content = {
        "zenmux-api-key": "sk-ai-v1-key",
        "database-url": "postgresql://gateway:x@db/gateway",
        "metrics-key": "key",
    }
    for name, text in content.items():
        (tmp_path / name).write_text(text)
    for name, value in environment(render(EVERYTHING)).items():
        monkeypatch.setenv(name, value.replace("/run/secrets/zenmux-gateway", str(tmp_path)))
    settings = load_settings()
    assert [account.key and account.key.get_secret_value() for account in settings.accounts] == ["sk-ai-v1-key"]
    assert (settings.database, settings.body_bytes_max) == (content["database-url"], 2_000_000)
    assert settings.public_url == "https://images.example.com"
    assert str(settings.bootstrap_file) == "/etc/zenmux-gateway/gateway.yaml"


@every_choice
def test_a_container_has_no_needless_right(values: dict[str, Any]) -> None:
    documents = render(values)
    for spec in (pod(documents), one(documents, "Pod")["spec"]):
        assert spec["automountServiceAccountToken"] is False
        assert (spec["securityContext"]["runAsUser"], spec["securityContext"]["runAsNonRoot"]) == (10001, True)
        [container] = spec["containers"]
        security = container["securityContext"]
        assert (security["readOnlyRootFilesystem"], security["allowPrivilegeEscalation"]) == (True, False)
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"]["memory"]
        assert spec.get("imagePullSecrets", []) == values.get("imagePullSecrets", [])


def test_a_stop_waits_for_running_requests() -> None:
    spec = pod(render({**SQLITE, "shutdownSeconds": 600}))
    [container] = spec["containers"]
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][-1])
    # Five seconds more for what is cut, five for the spans and the log, and some to end.
    assert spec["terminationGracePeriodSeconds"] >= pause + 600 + 20
    assert environment(render({**SQLITE, "shutdownSeconds": 600}))["GATEWAY_SHUTDOWN_SECONDS"] == "600"


def test_the_ways_in_wait_longer_than_the_gateway_and_collect_nothing() -> None:
    documents = render(EVERYTHING)
    annotations = one(documents, "Ingress")["metadata"]["annotations"]
    prefix = "nginx.ingress.kubernetes.io/proxy-"
    assert int(annotations[f"{prefix}read-timeout"]) > Settings().exchange_seconds_max
    assert int(annotations[f"{prefix}send-timeout"]) > Settings().client_stall_seconds
    for name in ("buffering", "request-buffering", "next-upstream"):
        assert annotations[f"{prefix}{name}"] == "off"
    [rule] = one(documents, "HTTPRoute")["spec"]["rules"]
    waits = {float(wait.removesuffix("s")) for wait in rule["timeouts"].values()}
    assert min(waits) > Settings().exchange_seconds_max
    assert "retry" not in rule
    paths = [path["path"] for path in one(documents, "Ingress")["spec"]["rules"][0]["http"]["paths"]]
    assert paths == [match["path"]["value"] for match in rule["matches"]]
    assert not {"/", "/metrics", "/readyz"} & set(paths)


def test_a_change_of_the_bootstrap_file_starts_new_pods() -> None:
    def checksum(limit: str) -> str:
        content = {"version": 1, "teams": {"design": {"limits": [limit]}}}
        documents = render({**SQLITE, "bootstrap": {"content": content}})
        assert yaml.safe_load(one(documents, "ConfigMap")["data"]["gateway.yaml"]) == content
        annotation: str = one(documents, "Deployment")["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
        return annotation

    assert checksum("usd:20/day") != checksum("usd:30/day")


class TestMonitoring:
    def test_each_database_has_a_job_of_its_own(self) -> None:
        documents = render(EVERYTHING, "photos")
        [endpoint] = one(documents, "ServiceMonitor")["spec"]["endpoints"]
        assert endpoint["relabelings"] == [{"targetLabel": "job", "replacement": "photos-zenmux-gateway"}]
        assert endpoint["authorization"]["credentials"] == {"name": "images", "key": "metrics-key"}
        expressions = json.dumps(one(documents, "PrometheusRule")["spec"])
        assert 'job=\\"photos-zenmux-gateway\\"' in expressions
        assert 'job=\\"zenmux-gateway\\"' not in expressions

    def test_the_rules_are_the_mixin_s(self) -> None:
        documents = render({**EVERYTHING, "fullnameOverride": "zenmux-gateway"})
        groups = one(documents, "PrometheusRule")["spec"]["groups"]
        found = [rule for group in groups for rule in group["rules"]]
        base = "https://wiki.example/operations#"
        assert json.loads(json.dumps(found).replace(base, "docs/operations.md#")) == rules("alerts.yml") + rules(
            "rules.yml"
        )
        assert all(rule["annotations"]["runbook_url"].startswith(base) for rule in found if "alert" in rule)

    @pytest.mark.skipif(PROMTOOL is None, reason="promtool is not here")
    def test_prometheus_takes_them(self, tmp_path: Path) -> None:
        assert PROMTOOL is not None
        (tmp_path / "rules.yml").write_text(yaml.safe_dump(one(render(EVERYTHING), "PrometheusRule")["spec"]))
        told = subprocess.run(
            [PROMTOOL, "check", "rules", tmp_path / "rules.yml"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert told.returncode == 0, told.stdout + told.stderr

    def test_the_dashboards_are_the_mixin_s(self) -> None:
        found = [
            document
            for document in render(EVERYTHING)
            if document["kind"] == "ConfigMap" and document["metadata"]["labels"].get("grafana_dashboard") == "1"
        ]
        shown = {name: json.loads(text) for document in found for name, text in document["data"].items()}
        assert shown == {path.name: json.loads(path.read_text(encoding="utf-8")) for path in DASHBOARDS}


def test_it_is_packed_with_all_it_needs(tmp_path: Path) -> None:
    assert HELM is not None
    subprocess.run([HELM, "package", CHART, "--destination", tmp_path], check=True, capture_output=True, timeout=60)
    [package] = tmp_path.glob("*.tgz")
    made = helm("template", "images", str(package), values=EVERYTHING)
    assert made.stdout == helm("template", "images", str(CHART), values=EVERYTHING).stdout


def _example_lines() -> list[str]:
    text = (ROOT / "config.example.env").read_text(encoding="utf-8")
    return re.findall(r"^#? ?[A-Z_]+=.*$", text, re.MULTILINE)


def _shape(value: Any) -> Any:
    """A document without its texts, but for the names of what the texts are."""
    if isinstance(value, dict):
        return {"data": 1} if "data" in value else {name: _shape(inner) for name, inner in value.items()}
    return [_shape(inner) for inner in value] if isinstance(value, list) else type(value).__name__
