"""The peers: LiteLLM's proxy and Portkey's gateway, each installed from its package into an environment of its own."""

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.contenders import Contender, Place, Running, clean_environment, free_port, started
from bench.processes import BenchError

LITELLM = "1.106.2"
PORTKEY = "1.15.2"
_INSTALL_SECONDS = 900
_KEY = "sk-benchmark-key-of-litellm"


class LiteLLM(Contender):
    """LiteLLM's proxy with one model and a master key; without a database, so it keeps no quotas."""

    name = "litellm"

    def __init__(self, cache: Path) -> None:
        self._home = cache / f"litellm-{LITELLM}"
        self._python = self._home / "bin/python"

    def prepare(self) -> str:
        done = self._home / ".installed"
        if not done.exists():
            shutil.rmtree(self._home, ignore_errors=True)
            _install([sys.executable, "-m", "venv", self._home])
            package = f"litellm[proxy]=={LITELLM}"
            uv = Path(sys.executable).with_name("uv")
            if uv.exists():
                _install([uv, "pip", "install", "--compile-bytecode", "--python", self._python, package])
            else:
                _install([self._python, "-m", "pip", "install", package])
            done.touch()
        return LITELLM

    def start(self, place: Place) -> Running:
        config = place.folder / "config.json"  # JSON is YAML
        upstream = {"model": "openai/gpt-image-2", "api_base": place.upstream, "api_key": "sk-upstream"}
        config.write_text(
            json.dumps(
                {
                    "model_list": [{"model_name": "gpt-image-2", "litellm_params": upstream}],
                    "general_settings": {"master_key": _KEY},
                    "litellm_settings": {"telemetry": False},
                }
            ),
            encoding="utf-8",
        )
        environment = clean_environment() | {
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_LOG": "ERROR",
            "LITELLM_MODE": "PRODUCTION",
            "SSL_CERT_FILE": str(place.certificate),
        }
        port = free_port()
        arguments = ["--config", config, "--host", "127.0.0.1", "--port", port, "--num_workers", "1"]
        running = Running(port, {"authorization": f"Bearer {_KEY}"})
        return started([self._home / "bin/litellm", *arguments], place, running, environment)


class Portkey(Contender):
    """Portkey's open-source gateway on Node.js: chooses the provider by headers, keeps neither keys nor quotas."""

    name = "portkey"

    def __init__(self, cache: Path) -> None:
        self._home = cache / f"portkey-{PORTKEY}"

    def prepare(self) -> str:
        npm, node = shutil.which("npm"), shutil.which("node")
        if npm is None or node is None:
            raise BenchError("Node.js and npm are not installed (Debian: apt-get install nodejs npm)")
        self._node = node
        done = self._home / ".installed"
        if not done.exists():
            shutil.rmtree(self._home, ignore_errors=True)
            self._home.mkdir(parents=True)
            options = ["--no-audit", "--no-fund", "--silent"]
            _install([npm, "install", "--prefix", self._home, *options, f"@portkey-ai/gateway@{PORTKEY}"])
            done.touch()
        return PORTKEY

    def start(self, place: Place) -> Running:
        port = free_port()
        headers = {
            "authorization": "Bearer sk-upstream",
            "x-portkey-provider": "openai",
            "x-portkey-custom-host": place.upstream,
        }
        environment = clean_environment() | {
            "NODE_ENV": "production",
            "NODE_EXTRA_CA_CERTS": str(place.certificate),
            "TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost",
        }
        server = self._home / "node_modules/@portkey-ai/gateway/build/start-server.js"
        arguments = [self._node, server, f"--port={port}", "--headless"]
        return started(arguments, place, Running(port, headers), environment)


def _install(arguments: Sequence[object]) -> None:
    """Raises BenchError with the end of what the installer says."""
    try:
        done = subprocess.run(  # noqa: S603 - our own arguments
            [str(argument) for argument in arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=_INSTALL_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise BenchError(f"cannot be installed: not done after {_INSTALL_SECONDS} s") from None
    if done.returncode != 0:
        raise BenchError(f"cannot be installed: {(done.stderr or done.stdout).strip()[-300:]}")
