"""LiteLLM's proxy, asked once by a client that sends nothing again. ASK_SETTINGS adds to its router's settings."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.retries.scripts.asking import BODY, PROMPT, SECONDS, report

_START_SECONDS = 400  # it loads for 20 seconds of computing
_KEY = "sk-of-this-proxy"


def configuration() -> dict[str, Any]:
    gateway = {
        "model": "openai/gpt-image-2",
        "api_base": os.environ["OPENAI_BASE_URL"],
        "api_key": os.environ["OPENAI_API_KEY"],
        "timeout": SECONDS,
    }
    return {
        "model_list": [
            {"model_name": "gpt-image-2", "litellm_params": gateway, "model_info": {"mode": "image_generation"}}
        ],
        "general_settings": {"master_key": _KEY},
        "litellm_settings": {"telemetry": False, "drop_params": True},
        "router_settings": json.loads(os.environ.get("ASK_SETTINGS", "{}")),
    }


def wait_until_ready(process: subprocess.Popen[bytes], root: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        with suppress(OSError):
            urllib.request.urlopen(f"{root}/health/readiness", timeout=5).close()
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("the proxy did not start")
        time.sleep(0.1)


def draw() -> str:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    root = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.json"  # JSON is YAML
        config.write_text(json.dumps(configuration()), encoding="utf-8")
        command = [Path(sys.executable).with_name("litellm"), "--config", config, "--host", "127.0.0.1", "--port", port]
        process = subprocess.Popen(
            [str(each) for each in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            wait_until_ready(process, root)
            body = json.dumps({**BODY, "prompt": PROMPT}).encode()
            headers = {"content-type": "application/json", "authorization": f"Bearer {_KEY}"}
            request = urllib.request.Request(f"{root}/v1/images/generations", body, headers)
            with urllib.request.urlopen(request, timeout=60) as answer:
                image: str = json.load(answer)["data"][0]["b64_json"]
                return image
        finally:
            process.terminate()
            process.wait(20)


report(version("litellm"), draw)
