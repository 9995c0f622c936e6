"""`import litellm` at a terminal: the file on stdout and the report beside it, or the file where it is wanted."""

import json
from pathlib import Path

import pytest
import yaml

from app.cli.commands import importing
from tests.cli.conftest import Cli

CONFIG = """\
model_list:
- {model_name: picture, litellm_params: {model: openai/gpt-image-2, api_key: sk-secret}}
- {model_name: chat, litellm_params: {model: openai/gpt-4o, api_key: sk-secret}}
litellm_settings: {max_budget: 100, budget_duration: 30d}
general_settings: {master_key: sk-secret}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    return path


def test_the_file_goes_to_stdout_and_the_report_beside_it(cli: Cli, config: Path) -> None:
    done = cli("import", "litellm", str(config))
    assert yaml.safe_load(done.stdout) == {"version": 1, "gateway": {"limits": ["usd:100/month"]}}
    assert "ask for openai/gpt-image-2" in done.stderr
    assert done.stderr.endswith("Made: 0 teams, 0 users, 0 keys. Next: zenmux-gateway apply -f gateway.yaml --diff\n")
    assert "sk-secret" not in done.output


def test_the_file_is_written_where_it_is_wanted_and_can_be_applied(cli: Cli, config: Path, tmp_path: Path) -> None:
    out = tmp_path / "gateway.yaml"
    done = cli("import", "litellm", str(config), "--out", str(out))
    assert "makes no images here" in done.stdout
    assert "version" not in done.stdout
    assert cli("apply", "-f", str(out)).stdout == "+ limit usd:100.00/month of the gateway\n"


def test_json_has_every_row(cli: Cli, config: Path) -> None:
    said = cli.json("import", "litellm", str(config))
    assert said["made"] == {"teams": 0, "users": 0, "keys": 0}
    assert said["file"] is None
    assert yaml.safe_load(said["text"])["version"] == 1
    assert said["report"][-1] == {
        "what": "model", "name": "chat", "field": "model_list", "note": "left out: it makes no images here"
    }  # fmt: skip
    assert "sk-secret" not in json.dumps(said)


def test_what_is_missing_is_said(cli: Cli, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(importing._MASTER_KEY, raising=False)
    assert "Name LiteLLM's config.yaml, or a running proxy" in cli("import", "litellm", code=2).stderr
    assert "Set LITELLM_MASTER_KEY" in cli("import", "litellm", "--url", "http://127.0.0.1:1", code=1).stderr
    assert "No such file" in cli("import", "litellm", f"{config}.none", code=1).stderr
    config.write_bytes(b"\xff")
    assert "is not UTF-8 text" in cli("import", "litellm", str(config), code=2).stderr


def test_the_master_key_may_be_in_a_file(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("sk-master\n")
    failed = cli("import", "litellm", "--url", "http://127.0.0.1:1", "--master-key-file", str(file), code=1)
    assert "LiteLLM cannot be reached at http://127.0.0.1:1" in failed.stderr
