"""A first request with a new key, to copy: curl, Python, JavaScript, and the environment of an SDK."""

import json
from dataclasses import dataclass

from app.admin.texts.snippets import curl_snippet, javascript_snippet, python_snippet
from app.console.web.visit import Visit


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
