"""Requests to copy: a first one with a new key, and the one that somebody tries in the playground."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from app.admin.texts.snippets import EditFiles, curl_snippet, javascript_snippet, python_snippet
from app.console.web.visit import Visit

PLACEHOLDER = "sk-zg-YOUR-KEY"


@dataclass(frozen=True, slots=True)
class Snippet:
    """One way to write it. `id` names it in the page."""

    id: str
    title: str
    text: str


def base_url(visit: Visit) -> str:
    """The address that callers give to an SDK, as this browser reaches the gateway."""
    public_url = visit.services.settings.public_url
    return f"{public_url or str(visit.request.base_url).rstrip('/')}/v1"


def snippets_for(visit: Visit, key: str) -> list[Snippet]:
    """Every way, with this key in it."""
    url = base_url(visit)
    environment = f"export OPENAI_BASE_URL={json.dumps(url)}\nexport OPENAI_API_KEY={json.dumps(key)}"
    return [
        Snippet("snippet-curl", "curl", curl_snippet(url, key)),
        Snippet("snippet-python", "Python", python_snippet(url, key)),
        Snippet("snippet-javascript", "JavaScript", javascript_snippet(url, key)),
        Snippet("snippet-environment", "Environment, for any OpenAI SDK", environment),
    ]


def snippets_of_request(visit: Visit, fields: Mapping[str, object], files: EditFiles | None) -> list[Snippet]:
    """This request, with a place for the key; of files, the edit that sends them. They read images, not links, so they
    leave out how the answer looks."""
    fields = {name: value for name, value in fields.items() if name != "response_format"}
    # What an edit saves is not named as a file that it reads.
    asked = (base_url(visit), PLACEHOLDER, fields, *(("edited", files) if files else ("image",)))
    return [
        Snippet("snippet-curl", "curl", curl_snippet(*asked)),
        Snippet("snippet-python", "Python", python_snippet(*asked)),
        Snippet("snippet-javascript", "JavaScript, for Node.js", javascript_snippet(*asked)),
    ]
