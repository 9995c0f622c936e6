"""A real identity provider on loopback, and somebody who signs in there without a browser."""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from typing import Any
from urllib.parse import urljoin

import httpx2

SCRIPTS = Path(__file__).parents[2] / "node"
NODE = which("node")
_STEPS_MAX = 12


@contextmanager
def identity_provider(
    port: int, redirect_uris: list[str], people: dict[str, dict[str, Any]], **more: Any
) -> Iterator[None]:
    """It answers at http://127.0.0.1:port. `people` are claims by subject."""
    assert NODE is not None
    if not (SCRIPTS / "node_modules" / "oidc-provider").is_dir():
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=SCRIPTS, check=True, timeout=300)
    asked = json.dumps({"port": port, "redirect_uris": redirect_uris, "people": people, **more})
    command = [NODE, "oidc_provider.mjs", asked]
    with subprocess.Popen(
        command, cwd=SCRIPTS, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline(), "the identity provider did not start"
            yield
        finally:
            process.kill()


def sign_in_there(client: httpx2.Client, address: str, subject: str, way_back: str) -> str:
    """Goes through the provider's pages as this person, and returns the address that it sends the browser back to."""
    for _ in range(_STEPS_MAX):
        answer = client.get(address)
        if answer.status_code == 200:  # a form: signing in, then consent
            [action] = re.findall(r'<form[^>]* action="([^"]+)" method="post"', answer.text) or [""]
            [prompt] = re.findall(r'name="prompt" value="(\w+)"', answer.text)
            form = {"prompt": prompt, "login": subject, "password": "-"}
            answer = client.post(urljoin(address, action or address), data=form)
        assert answer.status_code in (302, 303), (answer.status_code, answer.text)
        address = urljoin(address, answer.headers["location"])
        if address.startswith(way_back):
            return address
    raise AssertionError("the provider goes round in circles")
