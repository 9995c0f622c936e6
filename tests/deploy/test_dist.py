"""What `make dist` makes: a wheel and an sdist that install and run in an empty environment, with the whole console."""

import hashlib
import json
import os
import re
import subprocess
from pathlib import Path

import httpx2
import pytest

import app
from tests.servers import free_port, wait_until

ROOT = Path(__file__).parents[2]
UV = ROOT / ".venv/bin/uv"
STATIC = ROOT / "app/console/static"


def run(*command: str | Path, **variables: str) -> str:
    environment = {"PATH": os.environ["PATH"], **variables}
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.long("two environments are made, with every package")
@pytest.mark.timeout(900)
def test_wheel_and_sdist_run_in_an_empty_environment(tmp_path: Path) -> None:
    run("make", "--silent", "dist", f"DIST={tmp_path}/dist")
    assert not (ROOT / "app/COMMIT").exists()
    commit = run("git", "rev-parse", "--short=12", "HEAD").strip()
    [wheel], [sdist] = (list((tmp_path / "dist").glob(pattern)) for pattern in ("*.whl", "*.tar.gz"))
    for number, package in enumerate((wheel, sdist)):
        assert app.__version__ in package.name
        venv = tmp_path / f"venv-{number}"
        run(UV, "venv", "--quiet", "--python", ROOT / ".venv/bin/python", venv)
        run(UV, "pip", "install", "--quiet", "--python", venv / "bin/python", package)  # newest of all, as pipx does
        program = venv / "bin/zenmux-gateway"
        assert run(program, "--version") == f"zenmux-gateway {app.__version__} ({commit})\n"
        data = {"GATEWAY_DATA_DIR": str(tmp_path / f"data-{number}")}
        assert '"key"' in run(program, "keys", "create", "--user", "alice", "--json", **data)
        assert "gpt-image-2" in run(program, "catalog", "show", **data)
        assert_console_is_served(program, tmp_path / f"served-{number}")


def assert_console_is_served(program: Path, folder: Path) -> None:
    """Every file of the console comes from the installed package as it is committed; a page names and finds its own."""
    folder.mkdir()
    root = f"http://127.0.0.1:{(port := free_port())}"
    environment = {
        "PATH": os.environ["PATH"],
        "ZENMUX_API_KEY": "sk-none",
        "GATEWAY_ADMIN_KEY": "0123456789abcdef0123456789abcdef",
        "GATEWAY_DATA_DIR": str(folder),
        "GATEWAY_PORT": str(port),
    }
    with subprocess.Popen([program, "serve"], cwd=folder, env=environment) as process:
        try:
            wait_until(lambda: process.poll() is not None or is_up(root), "it answers", 60)
            for file in sorted(path for path in STATIC.rglob("*.*") if path.is_file()):
                name = file.relative_to(STATIC).as_posix()
                answer = httpx2.get(f"{root}/console/static/{name}")
                assert (answer.status_code, answer.content == file.read_bytes()) == (200, True), name
            for row in json.loads((STATIC / "vendor/vendor.json").read_text(encoding="utf-8")):
                served = httpx2.get(f"{root}/console/static/vendor/{row['file']}").content
                assert hashlib.sha256(served).hexdigest() == row["sha256"], row["file"]
            page = httpx2.get(f"{root}/console/sign-in")
            named = re.findall(r'"(/console/static/[^"]+)"', page.text)
            assert (page.status_code, len(named) >= 5) == (200, True)
            for path in named:
                assert "immutable" in httpx2.get(f"{root}{path}").headers["cache-control"], path
        finally:
            process.terminate()


def is_up(root: str) -> bool:
    try:
        return httpx2.get(f"{root}/healthz").status_code == 200
    except httpx2.TransportError:
        return False
