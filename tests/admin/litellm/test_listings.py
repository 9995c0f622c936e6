"""Reading a proxy: every page, nothing but reads; what it answers is bounded, and no message has the master key."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import SecretStr

from app.admin.litellm import listings
from app.admin.litellm.listings import read_config, read_proxy
from app.admin.litellm.objects import Proxy
from app.errors import InvalidValue, RemoteFailure
from app.settings.settings import Settings
from app.setup.tree import SetupError
from tests.upstream.raw_server import Connection, Server, answered, serve

MASTER = "sk-master-of-everything"
GOOD: dict[str, Any] = {
    "/key/list": {"keys": [{"token": "a" * 64, "user_id": "u"}], "total_pages": 1},
    "/user/list": {"users": [{"user_id": "u"}], "total_pages": 1},
    "/team/list": [{"team_id": "t", "keys": [{"token": "never read"}]}],
    "/model/info": {"data": [{"model_name": "picture", "litellm_params": {"model": "openai/gpt-image-2"}}]},
}

Answers = Callable[[str, str], Any]


def plain(path: str, _query: str) -> Any:
    return GOOD[path]


async def asked(answers: Answers, head: str = "200 OK") -> tuple[Proxy, Server]:
    async def answer(connection: Connection) -> None:
        target = server.requests[-1].split(b" ", 2)[1].decode()
        path, _, query = target.partition("?")
        said = answers(path, query)
        await connection.send(answered(said if isinstance(said, bytes) else json.dumps(said).encode(), status=head))

    async with serve(answer) as server:
        settings = Settings(_env_file=None, zenmux_api_key="sk-ai-v1-x")
        return await read_proxy(settings, f"{server.url}/v1/", SecretStr(MASTER)), server


async def test_it_asks_for_four_listings_with_the_master_key_and_nothing_else() -> None:
    proxy, server = await asked(plain)
    assert [key.token for key in proxy.keys] == ["a" * 64]
    assert [user.user_id for user in proxy.users] == ["u"]
    assert [team.team_id for team in proxy.teams] == ["t"]
    assert "keys" not in proxy.teams[0].others
    assert [each.model_name for each in proxy.deployments] == ["picture"]
    assert [request.split(b" HTTP")[0].decode() for request in server.requests] == [
        "GET /key/list?page=1&size=100&return_full_object=true",
        "GET /user/list?page=1&page_size=100",
        "GET /team/list",
        "GET /model/info",
    ]
    assert all(f"authorization: Bearer {MASTER}".encode() in request for request in server.requests)


async def test_it_reads_every_page() -> None:
    def pages(path: str, query: str) -> Any:
        if path != "/key/list":
            return GOOD[path]
        page = int(query.split("page=")[1].split("&", maxsplit=1)[0])
        return {"keys": [{"token": f"{page:064x}"}], "total_pages": 3}

    proxy, _ = await asked(pages)
    assert [int(key.token, 16) for key in proxy.keys] == [1, 2, 3]


async def test_an_older_proxy_that_lists_hashes_is_asked_for_each_key() -> None:
    def older(path: str, query: str) -> Any:
        if path == "/key/info":
            return {"key": query.removeprefix("key="), "info": {"key_alias": "laptop", "max_budget": 3}}
        return {"keys": ["b" * 64]} if path == "/key/list" else GOOD[path]

    proxy, _ = await asked(older)
    [key] = proxy.keys
    assert (key.token, key.key_alias, key.max_budget) == ("b" * 64, "laptop", 3)


@pytest.mark.parametrize(
    ("path", "said", "message"),
    [
        ("/key/list", b"<html>", "LiteLLM's answer of /key/list is no JSON; is this the proxy's address?"),
        ("/key/list", b"[" * 100_000, "LiteLLM's answer of /key/list is no JSON"),
        ("/key/list", {"keys": None}, "LiteLLM's answer of /key/list is no list"),
        ("/key/list", {"keys": [{"token": MASTER}]}, "/key/list[0] is not as LiteLLM writes it: token"),
        ("/user/list", {"users": [7]}, "/user/list[0] is not as LiteLLM writes it: it"),
        ("/team/list", {"teams": []}, "LiteLLM's answer of /team/list is no list"),
        ("/model/info", {"data": [{}]}, "/model/info[0] is not as LiteLLM writes it: model_name"),
    ],
)
async def test_what_cannot_be_read_is_named_and_not_repeated(path: str, said: Any, message: str) -> None:
    with pytest.raises(RemoteFailure) as refused:
        await asked(lambda asked_for, _: said if asked_for == path else GOOD[asked_for])
    assert refused.value.message.startswith(message)
    assert MASTER not in refused.value.message


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("401 No", "LiteLLM refuses the master key (401 of /key/list)."),
        ("404 No", "There is no /key/list (404)"),
        ("500 No", "LiteLLM fails with 500 at /key/list: has it a database?"),
        ("307 Elsewhere", "LiteLLM answers 307 at /key/list."),
    ],
)
async def test_a_refusal_says_what_to_do(head: str, message: str) -> None:
    with pytest.raises(RemoteFailure) as refused:
        await asked(plain, head)
    assert refused.value.message.startswith(message)


async def test_its_answers_are_bounded_in_bytes_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listings, "_BYTES_MAX", 1_000_000)
    filler = {"users": [{"user_id": "u", "filler": "x" * 600_000}], "total_pages": 9}
    with pytest.raises(RemoteFailure, match="over 1 MB"):
        await asked(lambda path, _: filler if path == "/user/list" else GOOD[path])


async def test_a_listing_without_an_end_is_left() -> None:
    endless = {"keys": [{"token": "a" * 64}] * 100}
    with pytest.raises(RemoteFailure, match="more than 20,000 entries"):
        await asked(lambda path, _: endless if path == "/key/list" else GOOD[path])


async def test_a_proxy_that_says_nothing_is_left_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listings, "_SECONDS_MAX", 0.2)

    async def silent(connection: Connection) -> None:
        await connection.until_client_closes()

    async with serve(silent) as server:
        with pytest.raises(RemoteFailure, match=r"has not told everything within 0\.2 seconds"):
            await read_proxy(Settings(_env_file=None, zenmux_api_key="x"), server.url, SecretStr(MASTER))


async def test_nobody_there() -> None:
    with pytest.raises(RemoteFailure, match="cannot be reached"):
        await read_proxy(Settings(_env_file=None, zenmux_api_key="x"), "http://127.0.0.1:1", SecretStr(MASTER))


@pytest.mark.parametrize(
    "url", ["litellm:4000", "ftp://litellm", "https://", "https://me:secret@litellm", "http://[::x]"]
)
async def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        await read_proxy(Settings(_env_file=None, zenmux_api_key="x"), url, SecretStr(MASTER))
    assert "secret" not in refused.value.message


def test_a_configuration_is_its_models_and_its_settings() -> None:
    text = (
        "model_list:\n- model_name: picture\n  litellm_params: {model: openai/gpt-image-2}\nlitellm_settings: {a: 1}\n"
    )
    proxy = read_config(text, "config.yaml")
    assert [each.model_name for each in proxy.deployments] == ["picture"]
    assert proxy.settings == {"litellm_settings": {"a": 1}}
    assert read_config("", "config.yaml") == Proxy(deployments=[])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "config.yaml is no mapping"),
        ("model_list: 7", "model_list is no list"),
        ("model_list:\n- {}\n", r"model_list\[0\] is not as LiteLLM writes it: model_name"),
        ("a: [", "config.yaml, line 2: not valid YAML"),
    ],
)
def test_a_configuration_that_is_none(text: str, message: str) -> None:
    with pytest.raises((InvalidValue, SetupError), match=message):
        read_config(text, "config.yaml")
