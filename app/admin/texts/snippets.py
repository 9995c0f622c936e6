"""A first request with a key, to paste: for `dev` and the console. Pure text; the tests run every snippet unchanged."""

import json
import shlex

IMAGE_FILE = "boat.png"
_REQUEST = {
    "model": "gpt-image-2",
    "prompt": "A paper boat on a calm sea at dawn, watercolour",
    "size": "1024x1024",
    "quality": "low",
}
_SAVE = f"""\
import base64, json, sys
text = sys.stdin.read()
try: answer = json.loads(text)
except ValueError: sys.exit(text[:500] or 1)
if "error" in answer: sys.exit(answer["error"]["message"])
open("{IMAGE_FILE}", "wb").write(base64.b64decode(answer["data"][0]["b64_json"]))
print("saved {IMAGE_FILE}")"""


def curl_snippet(base_url: str, key: str) -> str:
    """Shell lines that save an image as boat.png, on Linux and macOS: curl (7.76 or newer) and any python3.

    base64 and sed differ between the two, and would save an error as a broken image.
    """
    return " \\\n  ".join(
        [
            f"curl -sS --fail-with-body {shlex.quote(base_url + '/images/generations')}",
            f"-H {shlex.quote(f'Authorization: Bearer {key}')}",
            "-H 'Content-Type: application/json'",
            f"-d {shlex.quote(json.dumps(_REQUEST))}",
            f"| python3 -c {shlex.quote(_SAVE)}",
        ]
    )


def python_snippet(base_url: str, key: str) -> str:
    """A Python program that saves an image as boat.png with openai's own SDK."""
    return f"""\
# pip install openai
import base64, pathlib
from openai import OpenAI

client = OpenAI(base_url={_quoted(base_url)}, api_key={_quoted(key)})
answer = client.images.generate(
    model={_quoted(_REQUEST["model"])},
    prompt={_quoted(_REQUEST["prompt"])},
    size={_quoted(_REQUEST["size"])},
    quality={_quoted(_REQUEST["quality"])},
)
pathlib.Path({_quoted(IMAGE_FILE)}).write_bytes(base64.b64decode(answer.data[0].b64_json))
print("saved {IMAGE_FILE}")"""


def javascript_snippet(base_url: str, key: str) -> str:
    """A JavaScript module that saves an image as boat.png with openai's own SDK."""
    return f"""\
// npm install openai; save as boat.mjs; node boat.mjs
import {{ writeFileSync }} from "node:fs";
import OpenAI from "openai";

const client = new OpenAI({{ baseURL: {_quoted(base_url)}, apiKey: {_quoted(key)} }});
const answer = await client.images.generate({{
  model: {_quoted(_REQUEST["model"])},
  prompt: {_quoted(_REQUEST["prompt"])},
  size: {_quoted(_REQUEST["size"])},
  quality: {_quoted(_REQUEST["quality"])},
}});
writeFileSync({_quoted(IMAGE_FILE)}, Buffer.from(answer.data[0].b64_json, "base64"));
console.log("saved {IMAGE_FILE}");"""


def _quoted(text: str) -> str:
    return json.dumps(text)
