"""An image request as a program to paste: for `dev` and the console. Pure text. The tests run every snippet."""

import json
import shlex
from collections.abc import Mapping
from types import MappingProxyType

_FIRST: Mapping[str, object] = MappingProxyType(
    {
        "model": "gpt-image-2",
        "prompt": "A paper boat on a calm sea at dawn, watercolour",
        "size": "1024x1024",
        "quality": "low",
    }
)
_TYPES = {"jpeg": "jpg", "webp": "webp", "gif": "gif"}
_LAST_EVENT = "image_generation.completed"


def curl_snippet(base_url: str, key: str, fields: Mapping[str, object] = _FIRST, stem: str = "boat") -> str:
    """Shell lines that make the request of these fields and save what comes as `stem`.png or as its type, of several
    images as `stem`-1.png and so on. On Linux and macOS: curl (7.76 or newer) and any python3.

    base64 and sed differ between the two, and would save an error as a broken image.
    """
    file, is_stream = _file(fields, stem), fields.get("stream") is True
    return " \\\n  ".join(
        [
            f"curl -sS{'N' if is_stream else ''} --fail-with-body {shlex.quote(base_url + '/images/generations')}",
            f"-H {shlex.quote(f'Authorization: Bearer {key}')}",
            "-H 'Content-Type: application/json'",
            f"-d {shlex.quote(json.dumps(dict(fields)))}",
            f"| python3 -c {shlex.quote(_save_events(file) if is_stream else _save_document(file, _n(fields)))}",
        ]
    )


def python_snippet(base_url: str, key: str, fields: Mapping[str, object] = _FIRST, stem: str = "boat") -> str:
    """The same as a Python program with openai's own SDK."""
    file, n = _file(fields, stem), _n(fields)
    written = {name: _quoted(value) if isinstance(value, str) else repr(value) for name, value in fields.items()}
    given = "".join(f"    {name}={value},\n" for name, value in written.items())
    head = f"""\
# pip install openai
import base64, pathlib
from openai import OpenAI

client = OpenAI(base_url={_quoted(base_url)}, api_key={_quoted(key)})
answer = client.images.generate(
{given})
"""
    if fields.get("stream") is True:
        return f"""{head}\
for event in answer:
    if event.type == "{_LAST_EVENT}":
        pathlib.Path({_quoted(file)}).write_bytes(base64.b64decode(event.b64_json))
        print({_quoted(f"saved {file}")})"""
    if n == 1:
        return f"""{head}\
pathlib.Path({_quoted(file)}).write_bytes(base64.b64decode(answer.data[0].b64_json))
print({_quoted(f"saved {file}")})"""
    numbered = _quoted(_numbered(file, "{number}"))
    return f"""{head}\
for number, image in enumerate(answer.data, 1):
    pathlib.Path(f{numbered}).write_bytes(base64.b64decode(image.b64_json))
    print(f{_quoted("saved " + _numbered(file, "{number}"))})"""


def javascript_snippet(base_url: str, key: str, fields: Mapping[str, object] = _FIRST, stem: str = "boat") -> str:
    """The same as a JavaScript module with openai's own SDK."""
    file, n = _file(fields, stem), _n(fields)
    given = "".join(f"  {name}: {json.dumps(value, ensure_ascii=False)},\n" for name, value in fields.items())
    head = f"""\
// npm install openai; save as {stem}.mjs; node {stem}.mjs
import {{ writeFileSync }} from "node:fs";
import OpenAI from "openai";

const client = new OpenAI({{ baseURL: {_quoted(base_url)}, apiKey: {_quoted(key)} }});
const answer = await client.images.generate({{
{given}}});
"""
    if fields.get("stream") is True:
        return f"""{head}\
for await (const event of answer) {{
  if (event.type !== "{_LAST_EVENT}") continue;
  writeFileSync({_quoted(file)}, Buffer.from(event.b64_json, "base64"));
  console.log({_quoted(f"saved {file}")});
}}"""
    if n == 1:
        return f"""{head}\
writeFileSync({_quoted(file)}, Buffer.from(answer.data[0].b64_json, "base64"));
console.log({_quoted(f"saved {file}")});"""
    numbered = _numbered(file, "${index + 1}")
    return f"""{head}\
answer.data.forEach((image, index) => {{
  writeFileSync(`{numbered}`, Buffer.from(image.b64_json, "base64"));
  console.log(`saved {numbered}`);
}});"""


def _save_document(file: str, n: int) -> str:
    save = f"""\
open("{file}", "wb").write(base64.b64decode(answer["data"][0]["b64_json"]))
print("saved {file}")"""
    if n > 1:
        numbered = _numbered(file, "%d")
        save = f"""\
for number, image in enumerate(answer["data"], 1):
    open("{numbered}" % number, "wb").write(base64.b64decode(image["b64_json"]))
    print("saved {numbered}" % number)"""
    return f"""\
import base64, json, sys
text = sys.stdin.read()
try: answer = json.loads(text)
except ValueError: sys.exit(text[:500] or 1)
if "error" in answer: sys.exit(answer["error"]["message"])
{save}"""


def _save_events(file: str) -> str:
    """It reads to the end, so that curl does not complain."""
    return f"""\
import base64, json, sys
error = "no image came"
for line in sys.stdin:
    line = line.removeprefix("data: ")
    if not line.startswith("{{"): continue
    event = json.loads(line)
    if "error" in event: error = event["error"]["message"]
    if event.get("type") == "{_LAST_EVENT}":
        open("{file}", "wb").write(base64.b64decode(event["b64_json"]))
        error = None
        print("saved {file}")
sys.exit(error)"""


def _file(fields: Mapping[str, object], stem: str) -> str:
    return f"{stem}.{_TYPES.get(str(fields.get('output_format')), 'png')}"


def _numbered(file: str, number: str) -> str:
    stem, _, kind = file.rpartition(".")
    return f"{stem}-{number}.{kind}"


def _n(fields: Mapping[str, object]) -> int:
    n = fields.get("n", 1)
    return n if isinstance(n, int) else 1


def _quoted(text: str) -> str:
    """As Python and JavaScript both read it. Escapes of two halves, as JSON has them, mean something else in Python."""
    return json.dumps(text, ensure_ascii=False)
