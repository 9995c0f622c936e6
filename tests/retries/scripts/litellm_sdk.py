"""LiteLLM as a library."""

from importlib.metadata import version

import litellm

from tests.retries.scripts.asking import BODY, PROMPT, SECONDS, report

litellm.suppress_debug_info = True  # or it would print where to get help


def draw() -> str:
    chosen = {**BODY, "model": "openai/gpt-image-2"}
    return litellm.image_generation(prompt=PROMPT, timeout=SECONDS, **chosen).data[0].b64_json  # type: ignore[no-any-return]


report(version("litellm"), draw)
