"""The paths of the gateway, once: their names, their other spellings, and which one an unknown path may mean.

Pure. Every door takes its paths from here. The front door brings each request's path into this form before routing.
"""

import re
from difflib import get_close_matches

GENERATIONS = "/v1/images/generations"
EDITS = "/v1/images/edits"
MODELS = "/v1/models"
USAGE = "/v1/usage"
FILES = "/files"
JOBS = "/v1/images/jobs"
TASKS = "/v1/images/tasks"
GENERATION_JOBS, EDIT_JOBS = f"{GENERATIONS}/async", f"{EDITS}/async"

_VERSION = "/v1"
API = (GENERATIONS, EDITS, GENERATION_JOBS, EDIT_JOBS, JOBS, MODELS, USAGE)
"""The callers' routes. Each is also reached without /v1, as some clients build their URLs."""
OTHERS = ("/healthz", "/readyz", "/metrics", "/docs", "/openapi.json")
_CANONICAL = {path: path for path in (*API, *OTHERS)} | {path.removeprefix(_VERSION): path for path in API}
_BELOW = (f"{MODELS}/", f"{JOBS}/", f"{TASKS}/")  # followed by a model's name, which may contain slashes, or an id

_SLASHES = re.compile("/{2,}")
_NOT_HERE = re.compile(r"(chat/completions|completions|responses|embeddings|audio|assistants|threads|moderations)(/|$)")
_GUESSED_LENGTH_MAX = 200
_ALIKE = 0.8


def canonical(path: str) -> str:
    """The path as in the table: without doubled slashes, a trailing slash, or a missing /v1. A path that is none of our
    routes is returned unchanged.
    """
    known = _CANONICAL.get(path)
    if known is not None:
        return known
    tidy = _SLASHES.sub("/", path).rstrip("/")
    known = _CANONICAL.get(tidy)
    if known is not None:
        return known
    versioned = tidy if tidy.startswith(f"{_VERSION}/") else _VERSION + tidy
    return versioned if versioned.startswith(_BELOW) else path


def advice(path: str) -> str:
    """One sentence for a caller with an unknown path: the one that was probably meant."""
    tidy = _SLASHES.sub("/", path[:_GUESSED_LENGTH_MAX]).rstrip("/").lower()
    if tidy.endswith("/images/variations"):
        return f"Variations are retired: POST {EDITS} with the image and a prompt that says what to vary."
    for route in API:
        if tidy.endswith(route.removeprefix(_VERSION)):
            return f"Did you mean {route}? The client's base URL ends in /v1, once."
    if _NOT_HERE.search(tidy):
        return f"This gateway makes images: POST {GENERATIONS} or {EDITS}."
    last_two = "/" + "/".join(tidy.split("/")[-2:])
    for guess in (tidy, tidy.removeprefix(_VERSION), last_two):
        found = get_close_matches(guess, [*API, *(route.removeprefix(_VERSION) for route in API)], 1, _ALIKE)
        if found:
            return f"Did you mean {canonical(found[0])}?"
    return "See /docs for the paths there are."
