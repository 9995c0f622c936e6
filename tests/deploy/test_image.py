"""The image: the Dockerfile is clean, its parts are listed, and it is built and started where the machine allows it."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from app.sandbox.server import SandboxServer
from tests.deploy.image import CAN_BUILD, ROOT, Container, built
from tests.servers import UPSTREAM_KEY, fetch_json, free_port, wait_until

TOOLS = ROOT / ".venv-clients/deploy_tools/bin"
SIZE_BYTES_MAX = 450_000_000  # on the stand-in of the base, which is larger than the real one

needs_tools = pytest.mark.skipif(not (TOOLS / "hadolint").exists(), reason="`make clients` could not make deploy_tools")


def tool(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    called = [str(TOOLS / name), *arguments]
    return subprocess.run(called, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


@needs_tools
def test_the_dockerfile_is_clean() -> None:
    linted = tool("hadolint", "Dockerfile")
    assert (linted.returncode, linted.stdout) == (0, "")


@pytest.mark.long("cyclonedx reads every package")
@needs_tools
def test_the_bill_of_materials_lists_every_locked_package(tmp_path: Path) -> None:
    subprocess.run(["make", "--silent", "sbom", f"SBOM={tmp_path}/sbom.json"], cwd=ROOT, check=True, timeout=120)
    listed = json.loads((tmp_path / "sbom.json").read_text())["components"]
    assert {f"{part['name']}=={part['version']}" for part in listed} == locked()
    assert all(part["purl"].startswith("pkg:pypi/") for part in listed)
    assert "://" not in re.sub(r"https?://(cyclonedx\.org|github\.com|pypi\.org)", "", json.dumps(listed))


@pytest.mark.long("the image is built: a minute or two")
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not CAN_BUILD, reason="root, buildah and mmdebstrap are needed, and `make builders` found no apt")
def test_it_is_built_and_serves_an_image_with_a_read_only_root(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    port = free_port()
    with built() as image, SandboxServer() as sandbox:
        sizes = f"{image.size_bytes / 1e6:.0f} MB unpacked, {image.own_bytes / 1e6:.0f} MB of them in /opt/venv"
        record_property("figure", f"the image, on a stand-in of its base: {sizes}")
        assert image.size_bytes < SIZE_BYTES_MAX
        settings = {"ZENMUX_API_KEY": UPSTREAM_KEY, "ZENMUX_BASE_URL": sandbox.url, "GATEWAY_PORT": str(port)}
        container = Container(image, tmp_path / "data", **settings)
        try:
            wait_until(lambda: container.run(*image.health_check).returncode == 0, "it is healthy", 60)
            assert container.run("id", "-u").stdout == "10001\n"
            assert "Read-only file system" in container.run("touch", "/opt/venv/x").stderr
            made = container.run("zenmux-gateway", "keys", "create", "--user", "alice", "--json")
            headers = {"authorization": f"Bearer {json.loads(made.stdout)['key']}"}
            asked = {"model": "gpt-image-2", "prompt": "a house", "quality": "low"}
            url = f"http://127.0.0.1:{port}/v1/images/generations"
            assert httpx2.post(url, json=asked, headers=headers, timeout=60).status_code == 200
            assert fetch_json(sandbox.bill_url)["count"] == 1
            audited = container.run("zenmux-gateway", "ledger", "audit")
            assert audited.returncode == 0, audited.stdout + audited.stderr
            packages = container.run("python", "-c", _INSTALLED).stdout.split()
            assert set(packages) - {"zenmux-gateway"} <= {line.split("==")[0] for line in locked()}
        finally:
            code = container.stop()
        assert code == 0


_INSTALLED = (
    "from importlib.metadata import distributions as d; print(*{x.name.lower().replace('_', '-') for x in d()})"
)


def locked() -> set[str]:
    return set(re.findall(r"^([a-z0-9-]+==[^ ;\\]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
