"""What the scripts share, each of which asks once for one image with a client as its users write it.

They get OPENAI_BASE_URL and OPENAI_API_KEY, ASK_PROMPT, and in ASK_SECONDS how long the client may wait for an answer.
"""

import base64
import json
import os
from collections.abc import Callable
from typing import Any

BODY: dict[str, Any] = {"model": "gpt-image-2", "size": "1024x1024", "quality": "low"}
PROMPT = os.environ.get("ASK_PROMPT", "")
SECONDS = float(os.environ.get("ASK_SECONDS", "60"))
_PNG = b"\x89PNG\r\n\x1a\n"


def report(version: str, draw: Callable[[], str | bytes]) -> None:
    """Prints as JSON whether the client was given an image, and the error if not. `draw` gives base64 or the bytes."""
    has_image, error = False, None
    try:
        image = draw()
        has_image = (base64.b64decode(image) if isinstance(image, str) else image).startswith(_PNG)
    except Exception as raised:  # noqa: BLE001 - whatever the client raises is its answer
        error = f"{type(raised).__name__}: {raised}"[:300]
    print(json.dumps({"version": version, "has_image": has_image, "error": error}))  # noqa: T201 - the answer
