"""Moving in from LiteLLM: keys that its proxy minted buy images here, with the limits they had there.

The proxy's routes, rules and queries are LiteLLM's own (tests/clients/litellm_with_keys.py). Its database is not: rows
are in memory, behind the calls of the Prisma client. `make clients` makes its environment.
"""

import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from app.sandbox.server import SandboxServer
from tests.cli.conftest import Cli
from tests.cli.conftest import cli as cli  # noqa: PLC0414 - a fixture
from tests.servers import GatewayProcess, assert_bill_is_ledger, free_port, wait_until

ROOT = Path(__file__).parents[2]
MASTER = "sk-master-0123456789abcdef"
CONFIG = {
    "model_list": [
        {"model_name": "picture", "litellm_params": {"model": "openai/gpt-image-2", "api_key": "sk-none"}},
        {"model_name": "chat", "litellm_params": {"model": "openai/gpt-4o", "api_key": "sk-none"}},
    ],
    "litellm_settings": {"max_budget": 100, "budget_duration": "30d"},
    "general_settings": {"master_key": MASTER},
}
_START_SECONDS = 400  # it loads for 20 seconds of computing


@dataclass
class LiteLLM:
    """A running proxy. `call` posts to one of its routes as its master."""

    root: str
    config: Path
    call: Callable[[str, dict[str, Any]], Any]


@pytest.fixture
def litellm(tmp_path: Path) -> Iterator[LiteLLM]:
    home = ROOT / ".venv-clients/litellm_proxy"
    if not (home / ".installed").is_file():
        pytest.skip("there is no environment for litellm_proxy: `make clients` makes it, if its packages can be had")
    config, port, log = tmp_path / "config.yaml", free_port(), tmp_path / "litellm.log"
    config.write_text(yaml.safe_dump(CONFIG))
    root = f"http://127.0.0.1:{port}"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "LITELLM_MASTER_KEY": MASTER,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    command = [str(each) for each in (home / "bin/python", ROOT / "tests/clients/litellm_with_keys.py", port, config)]
    with log.open("wb") as file, httpx2.Client(timeout=60) as client:
        process = subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=file, stderr=file)

        def is_ready() -> bool:
            assert process.poll() is None, log.read_text()
            try:
                return client.get(f"{root}/health/liveliness").is_success
            except httpx2.TransportError:
                return False

        def call(path: str, said: dict[str, Any]) -> Any:
            answer = client.post(f"{root}{path}", json=said, headers={"authorization": f"Bearer {MASTER}"})
            assert answer.is_success, (answer.text, log.read_text()[-5000:])
            return answer.json()

        try:
            wait_until(is_ready, "LiteLLM is ready", _START_SECONDS)
            yield LiteLLM(root, config, call)
        finally:
            process.kill()
            process.wait()


@pytest.mark.long("a LiteLLM proxy starts")
def test_keys_of_a_litellm_proxy_go_on_working(
    litellm: LiteLLM,
    sandbox: SandboxServer,
    cli: Cli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    call = litellm.call
    call("/team/new", {"team_id": "t", "team_alias": "design", "max_budget": 20, "budget_duration": "1d"})
    call("/user/new", {"user_id": "u", "user_alias": "alice", "max_budget": 5, "auto_create_key": False})
    call("/team/member_add", {"team_id": "t", "member": {"user_id": "u", "role": "user"}})
    call("/budget/new", {"budget_id": "small", "max_budget": 7, "budget_duration": "30d"})
    laptop = {"user_id": "u", "key_alias": "laptop", "models": ["picture"], "duration": "30d", "budget_id": "small"}
    keys = {
        "laptop": call("/key/generate", laptop)["key"],
        "ci": call("/key/generate", {"team_id": "t", "key_alias": "ci", "rpm_limit": 1})["key"],
        "off": call("/key/generate", {"user_id": "u", "key_alias": "off"})["key"],
        "chat": call("/key/generate", {"user_id": "u", "key_alias": "chat", "models": ["chat"]})["key"],
    }
    call("/key/block", {"key": keys["off"]})

    out = tmp_path / "gateway.yaml"
    cli.environment["LITELLM_MASTER_KEY"] = MASTER
    monkeypatch.setenv("LITELLM_MASTER_KEY", MASTER)
    said = cli.json("import", "litellm", str(litellm.config), "--url", litellm.root, "--out", str(out))
    assert said["made"] == {"teams": 1, "users": 2, "keys": 3}
    assert {row["note"] for row in said["report"] if row["name"] == "alice/chat"} == {
        "left out: none of its models makes images here"
    }
    assert not any(key in said["text"] for key in (*keys.values(), MASTER))
    document = yaml.safe_load(out.read_text())
    assert document["gateway"] == {"limits": ["usd:100/month"]}
    assert document["users"] == {
        "alice": {"team": "design", "limits": ["usd:5/total"]}, "keys (design)": {"team": "design"}
    }  # fmt: skip
    cli("apply", "-f", str(out))

    with GatewayProcess(cli.data_dir, sandbox.url) as gateway:

        def status(name: str) -> int:
            body = {"model": "gpt-image-2", "prompt": "a key", "quality": "low", "size": "1024x1024"}
            headers = {"authorization": f"Bearer {keys[name]}"}
            return httpx2.post(f"{gateway.url}/images/generations", json=body, headers=headers, timeout=60).status_code

        assert {name: status(name) for name in keys} == {"laptop": 200, "ci": 200, "off": 401, "chat": 401}
        assert status("ci") == 429  # one a minute, as before
        assert_bill_is_ledger(gateway, sandbox, bought=2)
