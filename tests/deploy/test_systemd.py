"""The unit for systemd: it is valid, narrow, and the gateway works under it. No service is started."""

import configparser
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from app.database.engine import create_engine
from app.sandbox.server import SandboxServer
from app.settings.settings import Settings
from tests.deploy.confined import NUMBERS, UNIT, allowed
from tests.servers import GatewayProcess, Store, fetch_json, wait_until

ANALYZE = shutil.which("systemd-analyze")
README = UNIT.with_name("README.md")
EXPOSURE_MAX = 2.0

needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not here: the unit is not checked by it")
needs_filter = pytest.mark.skipif(
    ANALYZE is None or platform.machine() != "x86_64" or not NUMBERS.exists(),
    reason="systemd-analyze, x86-64 and the kernel's headers are needed to put the unit's filter on a process",
)


def service() -> dict[str, list[str]]:
    """The lines of [Service]: some names stand more than once."""
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    assert ANALYZE is not None
    return subprocess.run([ANALYZE, *arguments], capture_output=True, text=True, timeout=60, check=False)


@needs_systemd
def test_systemd_takes_it(tmp_path: Path) -> None:
    text = UNIT.read_text(encoding="utf-8")
    [program] = service()["ExecStart"]
    unit = tmp_path / UNIT.name
    unit.write_text(text.replace(f"ExecStart={program}", "ExecStart=/bin/true"))  # it is not installed here
    checked = analyze("verify", "--man=no", str(unit))
    assert (checked.returncode, checked.stderr) == (0, "")


@needs_systemd
def test_it_is_as_narrow_as_its_readme_says() -> None:
    shown = analyze("security", "--offline=true", "--no-pager", str(UNIT)).stdout
    found = re.search(r"Overall exposure level for .*: ([\d.]+)", shown)
    assert found is not None, shown
    assert float(found[1]) < EXPOSURE_MAX
    assert f"less than {EXPOSURE_MAX:g} of 10" in README.read_text(encoding="utf-8")


def test_its_variables_are_settings_and_a_stop_waits_for_running_requests() -> None:
    variables = dict(line.split("=", 1) for line in service()["Environment"])
    assert variables.pop("GATEWAY_CONFIG") == "/etc/zenmux-gateway/gateway.env"
    assert variables.pop("GATEWAY_DATA_DIR") == "/var/lib/" + service()["StateDirectory"][0]
    assert variables == {"PYTHONUNBUFFERED": "1"}
    # Five seconds more for what is cut, five for the spans and the log, and some to end.
    assert float(service()["TimeoutStopSec"][0]) >= Settings().shutdown_seconds + 20


def test_it_is_a_file_of_sections() -> None:
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    parser.read_string(UNIT.read_text(encoding="utf-8"))
    assert parser.sections() == ["Unit", "Service", "Install"]


@pytest.mark.skipif(shutil.which("systemd-sysusers") is None, reason="systemd-sysusers is not here")
def test_its_user_is_made(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    conf = UNIT.with_suffix(".conf")
    made = ["systemd-sysusers", f"--root={tmp_path}", "--inline", *_lines(conf)]
    subprocess.run(made, check=True, capture_output=True, timeout=60)
    user = (tmp_path / "etc/passwd").read_text().split(":")
    assert (user[0], user[5]) == (service()["User"][0], "/" + "var/lib/zenmux-gateway")


@needs_filter
def test_the_gateway_works_under_its_filter(tmp_path: Path) -> None:
    with SandboxServer() as sandbox:
        gateway = GatewayProcess(tmp_path / "data", sandbox.url, module="tests.deploy.confined")
        try:
            wait_until(gateway.is_ready, "it is ready", 60)
            store = Store(create_engine(f"sqlite:///{tmp_path}/data/gateway.db"))
            headers = {"authorization": f"Bearer {store.key().text}"}
            for body in ({"stream": True, "partial_images": 1}, {"response_format": "url"}):
                asked = {"model": "gpt-image-2", "prompt": "a house", "quality": "low", **body}
                answer = httpx2.post(f"{gateway.url}/images/generations", json=asked, headers=headers, timeout=60)
                assert answer.status_code == 200, answer.text
            store.settled(2)
            assert store.findings(fetch_json(sandbox.bill_url)) == []
            store.engine.dispose()
        finally:
            gateway.kill()


@needs_filter
def test_the_filter_filters() -> None:
    """Without it, the test above would prove nothing."""
    assert "accept4" in allowed()
    assert "mount" not in allowed()
    trace_me = "import ctypes; print(ctypes.CDLL(None, use_errno=True).ptrace(0, 0, 0, 0), ctypes.get_errno())"
    confined = f"from tests.deploy.confined import *; confine(allowed()); {trace_me}"
    shown = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout
        for code in (trace_me, confined)
    ]
    assert shown == ["0 0\n", "-1 1\n"]


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
