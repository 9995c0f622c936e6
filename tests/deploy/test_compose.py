"""docker-compose.yml keeps what it promises: bounds, no needless rights, no secret in an environment, nothing shown to
strangers. No container is started."""

import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from dotenv import dotenv_values

from app.settings.settings import load_settings

ROOT = Path(__file__).parents[2]
CHECK = ROOT / ".venv-clients/deploy_tools/bin/check-jsonschema"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PROMETHEUS = yaml.safe_load((ROOT / "deploy/prometheus.yml").read_text(encoding="utf-8"))

every_service = pytest.mark.parametrize("name", sorted(SERVICES))


@pytest.mark.skipif(not CHECK.exists(), reason="`make clients` could not make deploy_tools")
def test_it_is_as_the_schema_of_compose_files_says() -> None:
    called = [str(CHECK), "--builtin-schema", "vendor.compose-spec", "docker-compose.yml"]
    checked = subprocess.run(called, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert checked.returncode == 0, checked.stdout


@every_service
def test_each_container_is_bounded(name: str) -> None:
    service = SERVICES[name]
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
    assert 0 < service["pids_limit"] <= 1024
    assert service["ulimits"]["nofile"] >= 65_536


@every_service
def test_each_container_has_no_needless_right(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert "network_mode" not in service
    # nginx starts as root and becomes another user; no other needs to.
    assert service.get("cap_add", []) == (["CHOWN", "SETGID", "SETUID"] if name == "load-balancer" else [])


@every_service
def test_each_image_is_of_one_exact_version(name: str) -> None:
    assert re.search(r"@sha256:[0-9a-f]{64}$|:v?\d+\.\d+(\.\d+)?(-[a-z0-9]+)?$", SERVICES[name]["image"])


def test_the_images_of_the_dockerfile_are_of_one_exact_version() -> None:
    images = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(images) == 2
    assert all(re.fullmatch(r"python:3\.\d+\.\d+-slim-[a-z]+", image) for image in images)


@every_service
def test_ports_are_open_to_this_machine_alone(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


def test_the_database_and_prometheus_are_on_a_network_that_leads_nowhere() -> None:
    assert COMPOSE["networks"]["inside"]["internal"] is True
    networks = {name: set(service["networks"]) for name, service in SERVICES.items()}
    assert networks == {
        "gateway": {"edge", "inside"},
        "load-balancer": {"edge"},
        "postgres": {"inside"},
        "prometheus": {"inside"},
        "grafana": {"edge", "inside"},
    }
    # Docker publishes no port of a container that is on internal networks alone.
    assert {name for name, service in SERVICES.items() if "ports" in service} == {"load-balancer", "grafana"}


def test_links_lead_to_the_port_that_is_published_unless_env_says_otherwise() -> None:
    """With 0.0.0.0 alone, the gateway would refuse to make links."""
    first, last = SERVICES["gateway"]["env_file"]
    assert last == ".env"
    assert dotenv_values(ROOT / first) == {"GATEWAY_PUBLIC_URL": "http://localhost:8080"}
    assert "127.0.0.1:8080:8080" in SERVICES["load-balancer"]["ports"]


@every_service
def test_no_secret_stands_in_an_environment(name: str) -> None:
    service = SERVICES[name]
    for variable, value in service.get("environment", {}).items():
        if re.search(r"PASSWORD|SECRET|KEY|DATABASE_URL", variable):
            assert variable.endswith("_FILE")
            assert Path(value).parent == Path("/run/secrets")
            assert Path(value).name in service["secrets"]
        assert "$" not in str(value)
    assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"])


def test_grafana_shows_nothing_to_strangers() -> None:
    environment = SERVICES["grafana"]["environment"]
    assert environment["GF_AUTH_ANONYMOUS_ENABLED"] == "false"
    assert environment["GF_USERS_ALLOW_SIGN_UP"] == "false"
    assert "GF_SECURITY_ADMIN_PASSWORD" not in environment
    assert environment["GF_SECURITY_ADMIN_PASSWORD__FILE"] == "/run/secrets/grafana_password"


def test_prometheus_has_the_gateways_metrics_key() -> None:
    [job] = PROMETHEUS["scrape_configs"]
    assert job["authorization"]["credentials_file"] == SERVICES["gateway"]["environment"]["GATEWAY_METRICS_KEY_FILE"]


def test_a_stop_waits_for_running_requests() -> None:
    for name in ("gateway", "load-balancer"):
        assert int(SERVICES[name]["stop_grace_period"].removesuffix("s")) > load_settings().shutdown_seconds


class TestMakeSecrets:
    """deploy/make-secrets.sh, run in a copy of the folders it knows."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        (tmp_path / "deploy").mkdir()
        shutil.copy(ROOT / "deploy/make-secrets.sh", tmp_path / "deploy")
        return tmp_path

    @staticmethod
    def make(place: Path, *arguments: str, key: str = "") -> dict[str, str]:
        command = ["sh", "deploy/make-secrets.sh", *arguments]
        subprocess.run(command, cwd=place, input=key, text=True, check=True, timeout=60)
        return {file.name: file.read_text() for file in (place / "secrets").iterdir()}

    def test_every_secret_of_the_compose_file_is_made(self, place: Path) -> None:
        made = self.make(place, key="sk-ai-v1-key\n")
        assert {f"./secrets/{name}" for name in made} == {secret["file"] for secret in COMPOSE["secrets"].values()}
        assert (made["zenmux_api_key"], made["database_url"]) == ("sk-ai-v1-key", "")
        random = {made[name] for name in ("metrics_key", "postgres_password", "grafana_password")}
        assert len(random) == 3
        assert all(re.fullmatch("[0-9a-f]{48}", secret) for secret in random)

    def test_only_the_owner_gets_to_them_and_containers_can_read_them(self, place: Path) -> None:
        self.make(place)
        assert stat.S_IMODE((place / "secrets").stat().st_mode) == 0o700
        assert {stat.S_IMODE(file.stat().st_mode) for file in (place / "secrets").iterdir()} == {0o644}

    def test_a_second_run_changes_nothing(self, place: Path) -> None:
        made = self.make(place, key="sk-ai-v1-key")
        assert self.make(place, key="sk-ai-v1-another") == made

    def test_postgres_gets_its_url(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        made = self.make(place, "postgres", key="sk-ai-v1-key\n")
        assert made["database_url"] == f"postgresql://gateway:{made['postgres_password']}@postgres/gateway"
        for name, value in SERVICES["gateway"]["environment"].items():
            monkeypatch.setenv(name, value.replace("/run/secrets", str(place / "secrets")))
        settings = load_settings()
        assert settings.database == made["database_url"]
        assert settings.metrics_key is not None
        assert settings.metrics_key.get_secret_value() == made["metrics_key"]

    def test_the_files_are_no_part_of_git_or_of_the_image(self) -> None:
        assert "/secrets/" in (ROOT / ".gitignore").read_text().splitlines()
        assert (ROOT / ".dockerignore").read_text().splitlines()[1] == "*"
        assert "!secrets" not in (ROOT / ".dockerignore").read_text()
