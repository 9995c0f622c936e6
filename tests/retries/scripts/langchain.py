"""LangChain's DallEAPIWrapper: its answer is a link."""

import urllib.request
import warnings
from importlib.metadata import version

warnings.simplefilter("ignore")  # it says of itself that nobody maintains it

from langchain_community.utilities.dalle_image_generator import DallEAPIWrapper  # noqa: E402 - after the filter

from tests.retries.scripts.asking import PROMPT, SECONDS, report  # noqa: E402 - after the filter


def draw() -> bytes:
    link = DallEAPIWrapper(timeout=SECONDS).run(PROMPT)
    with urllib.request.urlopen(link, timeout=60) as image:
        return bytes(image.read())


report(version("langchain-community"), draw)
