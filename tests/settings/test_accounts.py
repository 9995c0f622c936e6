"""The accounts that ZENMUX_API_KEYS names: what is read, what is refused, and that no message shows a key."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from app.settings.accounts import ACCOUNTS_MAX, WEIGHT_MAX, AccountSpec, check_accounts, parse_accounts

SECRET = "sk-ai-v1-very-secret"


def read(text: str) -> list[tuple[str, str | None, int]]:
    found = parse_accounts(text)
    return [(spec.name, spec.key.get_secret_value() if spec.key else None, spec.weight) for spec in found]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("main=sk-ai-v1-a", [("main", "sk-ai-v1-a", 1)]),
        (
            "main=sk-ai-v1-a, spare = sk-ai-v1-b*2 ,\n",
            [("main", "sk-ai-v1-a", 1), ("spare", "sk-ai-v1-b", 2)],
        ),
        ("a=sk-ai-v1-=x==*100", [("a", "sk-ai-v1-=x==", 100)]),
    ],
)
def test_names_keys_and_weights_are_read(text: str, found: list[tuple[str, str, int]]) -> None:
    assert read(text) == found


@pytest.mark.parametrize(
    ("text", "because"),
    [
        (SECRET, "account 1 has no name"),
        (f"main=sk-1,{SECRET}", "account 2 has no name"),
        (f"Main={SECRET}", "'Main' is no name of an account"),
        (f"={SECRET}", "'' is no name"),
        (f"main={SECRET}*two", "the weight of account 1 is no whole number"),
        (f"main={SECRET}*0", "the weight of main must be a whole number from 1 to 100"),
        (f"main={SECRET}*101", "from 1 to 100"),
        (f"main={SECRET},main=sk-2", "two accounts have the name main"),
        (f"main={SECRET},spare={SECRET}", "main and spare have the same key"),
        ("main=", "the key of main is empty"),
        (f"main={SECRET} x", "the key of main"),
        (f"main={SECRET}é", "the key of main"),
        (",".join(f"a{number}=sk-{number}" for number in range(ACCOUNTS_MAX + 1)), "are too many"),
    ],
)
def test_what_cannot_be_an_account_is_refused_without_showing_a_key(text: str, because: str) -> None:
    with pytest.raises(ValueError, match=because) as raised:
        parse_accounts(text)
    assert SECRET not in str(raised.value)


names = st.from_regex(r"[a-z0-9][a-z0-9_.-]{0,31}", fullmatch=True)
secrets = st.from_regex(r"sk-[A-Za-z0-9=_-]{1,40}", fullmatch=True)


@given(
    st.lists(
        st.tuples(names, secrets, st.integers(1, WEIGHT_MAX)),
        max_size=5,  # as many as may be are too much to make up on a busy machine
        unique_by=(lambda each: each[0], lambda each: each[1]),
    )
)
def test_what_is_written_is_read_back(accounts: list[tuple[str, str, int]]) -> None:
    assert read(",".join(f"{name}={key}*{weight}" for name, key, weight in accounts)) == accounts


def test_an_account_serves_the_models_it_names_by_id_or_by_name() -> None:
    some = AccountSpec("a", None, models=("openai/gpt-image-2", "gpt-image-1"))
    names = ("gpt-image-2", "gpt-image-1", "gpt-image-3")
    assert [some.serves(f"openai/{name}") for name in names] == [True, True, False]
    assert AccountSpec("b", None).serves("anything")


def test_accounts_of_another_source_are_checked_alike() -> None:
    with pytest.raises(ValueError, match="same key"):
        check_accounts([AccountSpec("a", SecretStr("x")), AccountSpec("b", SecretStr("x"))])
