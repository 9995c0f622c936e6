"""LangChain's DallEAPIWrapper as its page shows it, and as people set it up. Prints what each call gives.

It runs in an environment of its own.
"""

import json
import warnings

warnings.simplefilter("ignore")  # it says of itself that nobody maintains it

from langchain_community.tools.openai_dalle_image_generation import OpenAIDALLEImageGenerationTool  # noqa: E402 - after the filter
from langchain_community.utilities.dalle_image_generator import DallEAPIWrapper  # noqa: E402 - after the filter

print(  # noqa: T201 - the answer
    json.dumps(
        {
            "as it comes": DallEAPIWrapper().run("a paper boat"),
            "dall-e-3": DallEAPIWrapper(model="dall-e-3", quality="hd", size="1792x1024").run("a paper boat"),
            "two": DallEAPIWrapper(n=2).run("a paper boat"),
            "the tool": OpenAIDALLEImageGenerationTool(api_wrapper=DallEAPIWrapper()).run("a paper boat"),
        }
    )
)
