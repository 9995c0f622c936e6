"""An image request as a program to paste: for `dev` and the console. Pure text. The tests run every snippet."""

import json
import shlex
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

_FIRST: Mapping[str, object] = MappingProxyType(
    {
        "model": "gpt-image-2",
        "prompt": "A paper boat on a calm sea at dawn, watercolour",
        "size": "1024x1024",
        "quality": "low",
    }
)
_TYPES = {"jpeg": "jpg", "webp": "webp", "gif": "gif"}


class EditFiles(NamedTuple):
    """The names of the files that an edit sends, as they lie beside the program."""

    images: Sequence[str]
    mask: str | None = None


_NO_FILES = EditFiles(())
"""What a generation sends."""


def curl_snippet(
    base_url: str, key: str, fields: Mapping[str, object] = _FIRST, stem: str = "boat", files: EditFiles = _NO_FILES
) -> str:
    """Shell lines that make the request of these fields (of `files`, an edit) and save what comes as `stem`.png or as
    its type, of several images as `stem`-1.png and so on. On Linux and macOS: curl (7.76 or newer) and any python3.

    base64 and sed differ between the two, and would save an error as a broken image.
    """
    file, is_stream = _file(fields, stem), fields.get("stream") is True
    save = _save_events(file, _last_event(files)) if is_stream else _save_document(file, _n(fields))
    url = f"{base_url}/images/{'edits' if files.images else 'generations'}"
    return " \\\n  ".join(
        [
            f"curl -sS{'N' if is_stream else ''} --fail-with-body {shlex.quote(url)}",
            f"-H {shlex.quote(f'Authorization: Bearer {key}')}",
            *(_curl_form(fields, files) if files.images else _curl_json(fields)),
            f"| python3 -c {shlex.quote(save)}",
        ]
    )


def python_snippet(
    base_url: str, key: str, fields: Mapping[str, object] = _FIRST, stem: str = "boat", files: EditFiles = _NO_FILES
) -> str:
    """The same as a Python program with openai's own SDK."""
    file, n = _file(fields, stem), _n(fields)
    written = {name: _quoted(value) if isinstance(value, str) else repr(value) for name, value in fields.items()}
    opened = [f'open({_quoted(name)}, "rb")' for name in files.images]
    sent = f"    image=[{', '.join(opened)}],\n" if opened else ""
    sent += "" if files.mask is None else f'    mask=open({_quoted(files.mask)}, "rb"),\n'
    given = sent + "".join(f"    {name}={value},\n" for name, value in written.items())
    head = f"""\
# pip install openai
import base64, pathlib
from openai import OpenAI

client = OpenAI(base_url={_quoted(base_url)}, api_key={_quoted(key)})
answer = client.images.{"edit" if files.images else "generate"}(
{given})
"""
    if fields.get("stream") is True:
        return f"""{head}\
for event in answer:
    if event.type == "{_last_event(files)}":
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


def javascript_snippet(
    base_url: str, key: str, fields: Mapping[str, object] = _FIRST, stem: str = "boat", files: EditFiles = _NO_FILES
) -> str:
    """The same as a JavaScript module with openai's own SDK."""
    file, n = _file(fields, stem), _n(fields)
    opened = [f"createReadStream({_quoted(name)})" for name in files.images]
    sent = f"  image: [{', '.join(opened)}],\n" if opened else ""
    sent += "" if files.mask is None else f"  mask: createReadStream({_quoted(files.mask)}),\n"
    written = {name: json.dumps(value, ensure_ascii=False) for name, value in fields.items()}
    given = sent + "".join(f"  {name}: {value},\n" for name, value in written.items())
    head = f"""\
// npm install openai; save as {stem}.mjs; node {stem}.mjs
import {{ {"createReadStream, " if opened else ""}writeFileSync }} from "node:fs";
import OpenAI from "openai";

const client = new OpenAI({{ baseURL: {_quoted(base_url)}, apiKey: {_quoted(key)} }});
const answer = await client.images.{"edit" if opened else "generate"}({{
{given}}});
"""
    if fields.get("stream") is True:
        return f"""{head}\
for await (const event of answer) {{
  if (event.type !== "{_last_event(files)}") continue;
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


def _last_event(files: EditFiles) -> str:
    return f"image_{'edit' if files.images else 'generation'}.completed"


def _curl_json(fields: Mapping[str, object]) -> list[str]:
    return ["-H 'Content-Type: application/json'", f"-d {shlex.quote(json.dumps(dict(fields)))}"]


def _curl_form(fields: Mapping[str, object], files: EditFiles) -> list[str]:
    """--form-string, because -F gives a meaning to `@`, `<` and `;`."""
    sent = [("image[]", name) for name in files.images] + ([] if files.mask is None else [("mask", files.mask)])
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in fields.items()}
    return [
        *(f"-F {shlex.quote(f'{part}=@{_curl_quoted(name)}')}" for part, name in sent),
        *(f"--form-string {shlex.quote(f'{name}={text}')}" for name, text in texts.items()),
    ]


def _curl_quoted(name: str) -> str:
    """A file's name; curl reads the standard input where it is a dash alone, in quotes too."""
    escaped = ("./-" if name == "-" else name).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


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


def _save_events(file: str, last_event: str) -> str:
    """It reads to the end, so that curl does not complain."""
    return f"""\
import base64, json, sys
error = "no image came"
for line in sys.stdin:
    line = line.removeprefix("data: ")
    if not line.startswith("{{"): continue
    event = json.loads(line)
    if "error" in event: error = event["error"]["message"]
    if event.get("type") == "{last_event}":
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
