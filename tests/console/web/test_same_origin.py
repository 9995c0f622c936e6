"""Whether a form comes from a page of ours, and whether a path leads to one."""

import pytest

from app.console.web.same_origin import HOME, is_from_here, safe_path

HOSTS = {"gateway.example", "127.0.0.1:8080"}


@pytest.mark.parametrize(
    ("method", "fetch_site", "origin", "is_ours"),
    [
        ("GET", "cross-site", "https://evil.example", True),
        ("POST", "same-origin", None, True),
        ("POST", "none", None, True),
        ("POST", "same-site", "https://gateway.example", False),
        ("POST", "cross-site", "https://gateway.example", False),
        ("POST", "", "https://gateway.example", False),
        ("POST", None, "https://gateway.example", True),
        ("POST", None, "http://127.0.0.1:8080", True),
        ("POST", None, "http://127.0.0.1:8081", False),
        ("POST", None, "https://gateway.example.evil.example", False),
        ("POST", None, "https://evil.example/gateway.example", False),
        ("POST", None, "ftp://gateway.example", False),
        ("POST", None, "null", False),
        ("POST", None, "", False),
        ("POST", None, "http://[", False),
        ("POST", None, None, False),
        ("DELETE", None, None, False),
    ],
)
def test_the_rule(method: str, fetch_site: str | None, origin: str | None, *, is_ours: bool) -> None:
    assert is_from_here(method, fetch_site, origin, HOSTS) is is_ours


@pytest.mark.parametrize("text_", ["/console", "/console/limits", "/console/usage?by=team&span=7d"])
def test_paths_of_ours_are_kept(text_: str) -> None:
    assert safe_path(text_) == text_


@pytest.mark.parametrize(
    "text_",
    [
        "/console/../v1/models",
        "/console/%2e%2e/v1/models",
        "/console/.%2E/v1/models",
        "/console/people/é",
        "/console/usage?q=" + "a" * 1024,
        "/console\\evil.example",
        "/consoles",
        "//evil.example/console",
        "https://evil.example/console",
        "http://[",
        "",
    ],
)
def test_everything_else_leads_to_the_beginning(text_: str) -> None:
    assert safe_path(text_) == HOME
