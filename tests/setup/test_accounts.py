"""The accounts of gateway.yaml with their keys, out of an environment and files of the test's own."""

import pytest

from app.settings.accounts import AccountSpec
from app.setup.accounts import accounts_of
from app.setup.reading import read_setup
from app.setup.secrets import Secrets
from app.setup.tree import SetupError

FILES = {"/run/spare": "sk-ai-v1-spare\n", "/run/empty": "\n", "/run/manage": "sk-mg-spare"}


def read_text(name: str) -> str:
    if name not in FILES:
        raise FileNotFoundError(2, "No such file or directory")
    return FILES[name]


def accounts(text: str) -> tuple[AccountSpec, ...]:
    environment = {"MAIN": "sk-ai-v1-main", "EMPTY": "", "ODD": "sk ai"}
    file = read_setup(f"version: 1\n{text}".encode(), "gateway.yaml")
    return accounts_of(file, Secrets(file.tree, environment, read_text))


def test_keys_come_from_the_environment_and_from_files_in_the_order_of_the_file() -> None:
    spare, main = accounts("""\
accounts:
  spare:
    key_file: /run/spare
    weight: 3
    base_url: https://zenmux.example/api/v1
    models: [gpt-image-2]
    management_key_file: /run/manage
  main: {key_env: MAIN}
""")
    assert spare.key is not None
    assert spare.management_key is not None
    assert (spare.name, spare.key.get_secret_value(), spare.weight) == ("spare", "sk-ai-v1-spare", 3)
    assert (spare.base_url, spare.models) == ("https://zenmux.example/api/v1", ("gpt-image-2",))
    assert spare.management_key.get_secret_value() == "sk-mg-spare"
    assert main.key is not None
    assert (main.name, main.key.get_secret_value(), main.weight) == ("main", "sk-ai-v1-main", 1)
    assert accounts("users: {}\n") == ()


@pytest.mark.parametrize(
    ("part", "line", "message"),
    [
        ("  a: {key_env: NONE}", 3, "the environment variable NONE is not set"),
        ("  a: {key_env: EMPTY}", 3, "the environment variable EMPTY is not set"),
        ("  a: {key_env: MAIN}\n  b: {key_file: /run/none}", 4, "/run/none cannot be read: No such file"),
        ("  a: {key_file: /run/empty}", 3, "the file /run/empty is empty"),
        ("  a: {key_env: MAIN, management_key_env: MAIN}", 3, "a management key begins with sk-mg-"),
        ("  a: {key_env: MAIN}\n  b: {key_env: MAIN}", 2, "a and b have the same key"),
        ("  a: {key_env: MAIN}\n  b: {limits: [usd:5/day]}", 4, "no setting names the accounts, so name the key"),
        ("  a: {key_env: ODD}", 2, "the key of a is empty, or holds what no HTTP header can carry"),
    ],
)
def test_what_is_wrong_is_refused_with_the_line_and_without_the_key(part: str, line: int, message: str) -> None:
    with pytest.raises(SetupError) as refused:
        accounts(f"accounts:\n{part}\n")
    assert refused.value.message.startswith(f"gateway.yaml, line {line}: ")
    assert message in refused.value.message
    assert "sk-ai" not in refused.value.message
