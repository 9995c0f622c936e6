"""openai-python, whichever version is there: two retries, as it comes."""

import openai

from tests.retries.scripts.asking import BODY, PROMPT, SECONDS, report


def draw() -> str:
    with openai.OpenAI(timeout=SECONDS) as client:
        return client.images.generate(prompt=PROMPT, **BODY).data[0].b64_json  # type: ignore[no-any-return, index, return-value, unused-ignore]


report(openai.__version__, draw)
