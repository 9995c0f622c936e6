"""Reads a LiteLLM proxy: its config.yaml, and the listings of a running one, over a plain client with the operator's
certificates and proxy. Only reads. Bounded in bytes, number and time. No message contains a key.
"""

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx2
from pydantic import SecretStr

from app.admin.litellm.objects import Deployment, LitellmKey, LitellmTeam, LitellmUser, Proxy, checked
from app.errors import InvalidValue, RemoteFailure
from app.settings.settings import Settings
from app.setup.tree import read_tree
from app.upstream.network import Network

_SECONDS_MAX = 300
_SILENCE_SECONDS = 30
_BYTES_MAX = 64_000_000  # of all answers together
_PAGE = 100  # the most that LiteLLM gives
_OBJECTS_MAX = 20_000  # of a kind

_Get = Callable[[str, Mapping[str, str | int]], Awaitable[Any]]


def read_config(text: str, name: str) -> Proxy:
    """What config.yaml says. Raises SetupError with the line, or InvalidValue that names the part."""
    value = read_tree(text, name).value
    if not isinstance(value, dict):
        raise InvalidValue(f"{name} is no mapping: give LiteLLM's config.yaml.")
    deployments = checked(Deployment, value.get("model_list") or [], "model_list")
    return Proxy(deployments=deployments, settings={key: part for key, part in value.items() if key != "model_list"})


async def read_proxy(settings: Settings, url: str, master_key: SecretStr) -> Proxy:
    """What a running proxy lists, to whoever has its master key. Takes five minutes at most.

    Raises RemoteFailure if it refuses, is not reached, or answers what cannot be read or is too much.
    """
    base = _base(url)
    try:
        async with (
            Network(settings).client(base, _SILENCE_SECONDS) as client,
            asyncio.timeout(_SECONDS_MAX),
        ):
            get = _Listings(client, base, master_key, _BYTES_MAX).get
            keys = [await _whole_key(get, each) for each in await _pages(get, "/key/list", "keys", "size")]
            users = await _pages(get, "/user/list", "users", "page_size")
            teams = [_without_keys(each) for each in _listed(await get("/team/list", {}), "/team/list", None)]
            models = _listed(await get("/model/info", {}), "/model/info", "data")
    except TimeoutError:
        raise RemoteFailure(f"LiteLLM has not told everything within {_SECONDS_MAX} seconds.") from None
    except (httpx2.RequestError, ssl.SSLError) as error:
        raise RemoteFailure(f"LiteLLM cannot be reached at {base} ({type(error).__name__}).") from None
    try:
        return Proxy(
            checked(LitellmTeam, teams, "/team/list"),
            checked(LitellmUser, users, "/user/list"),
            checked(LitellmKey, keys, "/key/list"),
            checked(Deployment, models, "/model/info"),
        )
    except InvalidValue as error:
        raise RemoteFailure(error.message) from None


def _base(url: str) -> httpx2.URL:
    try:
        base = httpx2.URL(url.rstrip("/").removesuffix("/v1"))
    except httpx2.InvalidURL:
        raise InvalidValue("The proxy's address cannot be read: write https://litellm.example.com.") from None
    if base.scheme not in ("http", "https") or not base.host or base.userinfo:
        raise InvalidValue("The proxy's address must be http:// or https:// and a host, without a name or a password.")
    return base


@dataclass(slots=True)
class _Listings:
    """One running proxy. `bytes_left` of all its answers."""

    client: httpx2.AsyncClient
    base: httpx2.URL
    master_key: SecretStr
    bytes_left: int

    async def get(self, path: str, query: Mapping[str, str | int]) -> Any:  # noqa: ANN401 - whatever the proxy says
        """The JSON behind a path."""
        request = self.client.build_request(
            "GET",
            f"{self.base}{path}",
            params=dict(query),
            headers={"authorization": f"Bearer {self.master_key.get_secret_value()}"},
        )
        response = await self.client.send(request, stream=True)
        body = bytearray()
        try:
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > self.bytes_left:
                    raise RemoteFailure(f"LiteLLM's listings are over {_BYTES_MAX // 1_000_000} MB.")
        finally:
            await response.aclose()
        self.bytes_left -= len(body)
        if response.status_code != 200:
            raise _refusal(response.status_code, path)
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            raise RemoteFailure(f"LiteLLM's answer of {path} is no JSON; is this the proxy's address?") from None


def _refusal(status: int, path: str) -> RemoteFailure:
    if status in (401, 403):
        return RemoteFailure(f"LiteLLM refuses the master key ({status} of {path}).")
    if status == 404:
        return RemoteFailure(f"There is no {path} (404): is this the proxy's address?")
    if status >= 500 or status == 400:
        return RemoteFailure(f"LiteLLM fails with {status} at {path}: has it a database? Without one it lists nothing.")
    return RemoteFailure(f"LiteLLM answers {status} at {path}.")


async def _pages(get: _Get, path: str, name: str, size_name: str) -> list[Any]:
    """Every page of a listing."""
    found: list[Any] = []
    for page in range(1, _OBJECTS_MAX // _PAGE + 2):
        more = {"return_full_object": "true"} if name == "keys" else {}
        answer = await get(path, {"page": page, size_name: _PAGE, **more})
        here = _listed(answer, path, name)
        found += here
        if len(found) > _OBJECTS_MAX:
            break
        pages = answer.get("total_pages")
        if not here or (page >= pages if isinstance(pages, int) else len(here) < _PAGE):
            return found
    raise RemoteFailure(f"{path} has more than {_OBJECTS_MAX:,} entries: that is too many for one file.")


def _listed(answer: object, path: str, name: str | None) -> list[Any]:
    found = answer.get(name) if isinstance(answer, dict) and name is not None else answer
    if not isinstance(found, list) or len(found) > _OBJECTS_MAX:
        raise RemoteFailure(f"LiteLLM's answer of {path} is no list, or a list of more than {_OBJECTS_MAX:,}.")
    return found


async def _whole_key(get: _Get, said: object) -> object:
    """Older proxies list hashes only; /key/info has the rest."""
    if not isinstance(said, str):
        return said
    answer = await get("/key/info", {"key": said})
    info = answer.get("info") if isinstance(answer, dict) else None
    return {**info, "token": said} if isinstance(info, dict) else {"token": said}


def _without_keys(team: object) -> object:
    return {name: part for name, part in team.items() if name != "keys"} if isinstance(team, dict) else team
