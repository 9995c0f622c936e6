"""A client that sends its request again after every 5xx, time-out and lost connection, whatever the answer says."""

import http.client
import json
import os
import platform
import time
import urllib.error
import urllib.request

from tests.retries.scripts.asking import BODY, PROMPT, SECONDS, report

_TRIES = 3


def draw_once() -> str:
    headers = {"authorization": f"Bearer {os.environ['OPENAI_API_KEY']}", "content-type": "application/json"}
    body = json.dumps({**BODY, "prompt": PROMPT}).encode()
    request = urllib.request.Request(os.environ["OPENAI_BASE_URL"] + "/images/generations", body, headers)
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:
        image: str = json.load(answer)["data"][0]["b64_json"]
        return image


def draw() -> str:
    for number in range(1, _TRIES + 1):
        try:
            return draw_once()
        except (OSError, http.client.HTTPException) as error:
            status = error.code if isinstance(error, urllib.error.HTTPError) else 500
            if status < 500 or number == _TRIES:
                raise
            time.sleep(number)
    raise AssertionError("the last try returns or raises")


report(platform.python_version(), draw)
