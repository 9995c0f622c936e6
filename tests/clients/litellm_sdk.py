"""LiteLLM's SDK: one generation, and edits in every way its users write them. Prints each call's answer as JSON.

It runs in an environment of its own, in a folder that holds image.png and mask.png.
"""

import asyncio
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import litellm

CHOICES: dict[str, Any] = {
    "model": "openai/gpt-image-2",
    "size": "1024x1024",
    "quality": "low",
    "prompt": "Make it snow",
}
IMAGE, MASK = Path("image.png"), Path("mask.png")


def calls() -> dict[str, Any]:
    edit = litellm.image_edit
    with IMAGE.open("rb") as image, IMAGE.open("rb") as second, MASK.open("rb") as mask:
        return {
            "generate": litellm.image_generation(**CHOICES).model_dump(),
            "edit a file handle": edit(image=image, **CHOICES).model_dump(),
            "edit bytes": edit(image=IMAGE.read_bytes(), n=2, **CHOICES).model_dump(),
            "edit a list with a mask": edit(image=[second, IMAGE.read_bytes()], mask=mask, **CHOICES).model_dump(),
            "edit async": asyncio.run(litellm.aimage_edit(image=IMAGE.read_bytes(), **CHOICES)).model_dump(),
        }


def refused() -> dict[str, Any]:
    try:
        litellm.image_edit(image=b"no image at all", **CHOICES)
    except litellm.BadRequestError as error:
        return {"message": error.message}
    raise AssertionError("it was not refused")


litellm.suppress_debug_info = True  # or it would print where to get help
print(json.dumps({"version": version("litellm"), "answers": calls(), "refused": refused()}))  # noqa: T201 - the answer
