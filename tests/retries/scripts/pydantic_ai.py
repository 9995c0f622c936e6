"""pydantic-ai's ImageGenerator."""

import asyncio
from importlib.metadata import version

from openai import AsyncOpenAI
from pydantic_ai import ImageGenerator
from pydantic_ai.images.openai import OpenAIImageGenerationModel
from pydantic_ai.providers.openai import OpenAIProvider

from tests.retries.scripts.asking import PROMPT, SECONDS, report


def draw() -> bytes:
    client = AsyncOpenAI(timeout=SECONDS)
    model = OpenAIImageGenerationModel("gpt-image-2", provider=OpenAIProvider(openai_client=client))
    generator = ImageGenerator(model, settings={"openai_size": "1024x1024", "openai_quality": "low"})
    return bytes(asyncio.run(generator.generate(PROMPT)).image.data)


report(version("pydantic-ai-slim"), draw)
