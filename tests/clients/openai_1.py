"""openai-python 1.109: one generation, and edits in every way its users write them. Prints each call's answer as JSON.

It runs in an environment of its own, in a folder that holds image.png and mask.png.
"""

import asyncio
import json
from pathlib import Path
from typing import Any

import openai

CHOICES: dict[str, Any] = {"model": "gpt-image-2", "size": "1024x1024", "quality": "low", "prompt": "Make it snow"}
IMAGE, MASK = Path("image.png"), Path("mask.png")


def calls(client: openai.OpenAI) -> dict[str, Any]:
    edit = client.images.edit
    with IMAGE.open("rb") as image, IMAGE.open("rb") as second, MASK.open("rb") as mask:
        return {
            "generate": client.images.generate(**CHOICES).model_dump(),
            "edit a file handle": edit(image=image, **CHOICES).model_dump(),
            "edit a path": edit(image=IMAGE, **CHOICES).model_dump(),
            "edit bytes": edit(image=IMAGE.read_bytes(), n=2, **CHOICES).model_dump(),
            "edit a named file": edit(image=("é ü.png", IMAGE.read_bytes(), "image/png"), **CHOICES).model_dump(),
            "edit a list with a mask": edit(image=[second, IMAGE.read_bytes()], mask=mask, **CHOICES).model_dump(),
            "edit a stream": [
                event.model_dump() for event in edit(image=IMAGE, stream=True, partial_images=1, **CHOICES)
            ],
        }


async def call_async() -> dict[str, Any]:
    async with openai.AsyncOpenAI() as client:
        return {"edit async": (await client.images.edit(image=[IMAGE], mask=MASK, **CHOICES)).model_dump()}


def refused(client: openai.OpenAI) -> dict[str, Any]:
    try:
        client.images.edit(image=b"no image at all", **CHOICES)
    except openai.BadRequestError as error:
        return {"code": error.code, "param": error.param}
    raise AssertionError("it was not refused")


with openai.OpenAI() as client:
    answers = {**calls(client), **asyncio.run(call_async())}
    print(json.dumps({"version": openai.__version__, "answers": answers, "refused": refused(client)}))  # noqa: T201 - the answer
