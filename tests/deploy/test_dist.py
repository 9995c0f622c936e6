"""What `make dist` makes: a wheel and an sdist that install and run in an empty environment."""

import os
import subprocess
from pathlib import Path

import pytest

import app

ROOT = Path(__file__).parents[2]
UV = ROOT / ".venv/bin/uv"


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
