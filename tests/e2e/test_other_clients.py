"""openai-python 1.109, LiteLLM's SDK and LangChain, each in an environment of its own, through a real gateway to a real
sandbox.

Each has a script in tests/clients that makes its calls and prints their answers. `make clients` makes the environments.
"""

import base64
import io
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import httpx2
import pytest
from PIL import Image

from app.sandbox.server import SandboxServer
from tests.image_files import image_file, mask_file
from tests.servers import RunningGateway, fetch_json

ROOT = Path(__file__).parents[2]
ONE_IMAGE = 1024  # the tokens of the input image


def run(client: str, gateway: RunningGateway, folder: Path) -> dict[str, Any]:
    """What the client's script prints, run in a folder with an image and a mask."""
    home = ROOT / ".venv-clients" / client
    if not (home / ".installed").is_file():
        pytest.skip(f"there is no environment for {client}: `make clients` makes it, if its packages can be had")
    (folder / "image.png").write_bytes(image_file())
    (folder / "mask.png").write_bytes(mask_file())
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "OPENAI_BASE_URL": gateway.url,
        "OPENAI_API_KEY": gateway.store.key().text,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # or it asks the internet for prices as it is imported
    }
    script = ROOT / "tests/clients" / f"{client}.py"
    command = [home / "bin/python", script]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    printed: dict[str, Any] = json.loads(done.stdout)
    return printed


def images_of(answer: dict[str, Any]) -> list[Image.Image]:
    return [Image.open(io.BytesIO(base64.b64decode(item["b64_json"]))).convert("RGB") for item in answer["data"]]


def check_answers(answers: dict[str, Any]) -> None:
    """Every call has whole images, and the tokens of the images that were sent in."""
    sent = {name: 0 if name == "generate" else 2 if "list" in name else 1 for name in answers}
    for name, answer in answers.items():
        images = images_of(answer)
        assert [image.size for image in images] == [(1024, 1024)] * (2 if name == "edit bytes" else 1), name
        assert answer["usage"]["input_tokens_details"]["image_tokens"] == sent[name] * ONE_IMAGE, name
        assert answer["usage"]["output_tokens"] == 196 * len(images), name
    (masked,) = images_of(answers["edit a list with a mask"])
    assert masked.getpixel((1020, 20)) == (0, 255, 0), "the mask keeps this half"


def check_accounts(gateway: RunningGateway, sandbox: SandboxServer, bought: int) -> None:
    """The sandbox's bill is the ledger, only what was answered was bought, and no file is left."""
    rows = gateway.store.settled(bought)
    bill = fetch_json(sandbox.bill_url)
    assert len(rows) == bill["count"] == bought
    assert sorted(row["operation"] for row in rows) == ["edit"] * (bought - 1) + ["generation"]
    assert {row["usage_source"] for row in rows} == {"reported"}
    assert gateway.store.findings(bill) == []
    assert list((gateway.settings.data_dir / "uploads").iterdir()) == []


def test_openai_python_1(gateway: RunningGateway, sandbox: SandboxServer, tmp_path: Path) -> None:
    printed = run("openai_1", gateway, tmp_path)
    assert printed["version"].startswith("1.109.")
    answers = printed["answers"]
    assert len(answers) == 8
    partial, completed = answers.pop("edit a stream")
    assert [partial["type"], completed["type"]] == ["image_edit.partial_image", "image_edit.completed"]
    assert [image.size for image in images_of({"data": [partial, completed]})] == [(1024, 1024)] * 2
    assert completed["usage"]["input_tokens_details"]["image_tokens"] == ONE_IMAGE
    check_answers(answers)
    assert printed["refused"] == {"code": "invalid_image_file", "param": "image"}
    check_accounts(gateway, sandbox, 8)


@pytest.mark.long("LiteLLM loads for seconds")
def test_litellm(gateway: RunningGateway, sandbox: SandboxServer, tmp_path: Path) -> None:
    printed = run("litellm_sdk", gateway, tmp_path)
    assert len(printed["answers"]) == 5
    check_answers(printed["answers"])
    assert "invalid_image_file" in printed["refused"]["message"]
    check_accounts(gateway, sandbox, 5)


@pytest.mark.long("LangChain loads for seconds")
def test_langchain_gets_links_as_from_dall_e(gateway: RunningGateway, sandbox: SandboxServer, tmp_path: Path) -> None:
    """Its wrapper asks for no format, reads `url` and nothing else, and is maintained by nobody."""
    for name, links in run("langchain", gateway, tmp_path).items():
        for link in links.split("\n"):
            image = Image.open(io.BytesIO(httpx2.get(link).content))
            assert image.size == ((1792, 1024) if name == "dall-e-3" else (1024, 1024))
    rows = gateway.store.settled(4)
    assert [row["charged_images"] for row in rows] == [1, 1, 2, 1]
    assert gateway.store.findings(fetch_json(sandbox.bill_url)) == []
