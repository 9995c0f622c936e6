"""The clients of the table in docs/retries.md: how each is started, and where it comes from. Each is a script that asks
once for one image and prints what came of it.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
NODE_FOLDER = ROOT / "tests/node"
_RUN_SECONDS = 600
_NO_DOWNLOAD = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}  # or it asks the internet for prices as it is imported
_LITELLM_SETTINGS = json.dumps({"num_retries": 0, "disable_cooldowns": True})  # as docs/clients.md says


class Answer(NamedTuple):
    """What a client says at its end."""

    version: str
    has_image: bool
    error: str | None


class ClientMissing(Exception):
    """The client is not installed here; the message says how to."""


@dataclass(frozen=True)
class Client:
    """`name` is its row. `environment` adds to that of its script."""

    name: str
    command: tuple[str, ...]
    home: Path | None = None  # of its environment: its `.installed` must be there
    environment: Mapping[str, str] = field(default_factory=dict)

    def find(self) -> None:
        """Raises ClientMissing."""
        if self.home is not None and not (self.home / ".installed").is_file():
            raise ClientMissing(f"{self.name} is not installed: see `make clients node`")
        if shutil.which(self.command[0]) is None:
            raise ClientMissing(f"{self.name} needs {self.command[0]}")

    def ask(self, environment: Mapping[str, str]) -> Answer:
        """Runs its script, which must end by itself."""
        is_node = self.home is not None and self.home.is_relative_to(NODE_FOLDER)
        done = subprocess.run(
            self.command,
            cwd=NODE_FOLDER if is_node else ROOT,
            env={**environment, **self.environment},
            capture_output=True,
            text=True,
            timeout=_RUN_SECONDS,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{self.name}: {done.stderr}")
        return Answer(**json.loads(done.stdout.splitlines()[-1]))


def _python(name: str, script: str, home: str | None = None, **environment: str) -> Client:
    folder = None if home is None else ROOT / ".venv-clients" / home
    python = sys.executable if folder is None else str(folder / "bin/python")
    return Client(name, (python, "-m", f"tests.retries.scripts.{script}"), folder, environment)


def _node(name: str, *command: str) -> Client:
    return Client(name, ("node", *command), NODE_FOLDER / "node_modules")


CLIENTS = (
    _python("openai-python 3", "openai_python"),
    _python("openai-python 1", "openai_python", "openai_1"),
    _node("openai-node 7", "ask.mjs", "openai-7"),
    _node("openai-node 6", "ask.mjs", "openai"),
    _node("openai-node 4", "ask.mjs", "openai-4"),
    _node("Vercel AI SDK", "ask_ai.mjs"),
    _python("LangChain for Python", "langchain", "langchain"),
    _python("LiteLLM, as a library", "litellm_sdk", "litellm_sdk", **_NO_DOWNLOAD),
    _python("LiteLLM, as a proxy", "litellm_proxy", "litellm_proxy", **_NO_DOWNLOAD, ASK_SETTINGS=_LITELLM_SETTINGS),
    _python("pydantic-ai", "pydantic_ai", "pydantic_ai"),
    _python("`curl --retry 3`", "curl"),
    _python("a blind one", "blind"),
)
