"""Use cases of the accounts: what is listed, and what an operator says."""

from datetime import timedelta

import pytest
from pydantic import SecretStr

from app.admin.operator import Operator
from app.admin.zenmux.accounts import list_accounts, rest_account, resume_account
from app.database.engine import writing
from app.errors import NotFound
from app.quotas.ledger.liveness.heartbeat import Heartbeat
from app.settings.accounts import AccountSpec
from app.upstream.accounts.shared import SharedState, publish
from app.upstream.accounts.states import Availability

SPECS = [AccountSpec("main", SecretStr("sk-ai-v1-secret")), AccountSpec("spare", SecretStr("x"), weight=2)]


def test_without_a_running_gateway_only_an_operators_word_is_known(operator: Operator) -> None:
    rest_account(operator, SPECS, "spare", operator.now + timedelta(hours=1))
    main, spare = list_accounts(operator, SPECS)
    assert (main.state, main.processes, main.rested) == ("not running", 0, False)
    assert (spare.state, spare.why, spare.until, spare.rested) == (
        "resting", "operator", operator.now + timedelta(hours=1), True,
    )  # fmt: skip
    assert (main.rested_at, spare.rested_at) == (None, operator.now)
    resume_account(operator, SPECS, "spare")
    assert [each.state for each in list_accounts(operator, SPECS)] == ["not running", "not running"]


def test_the_worst_that_a_living_process_says_is_shown(operator: Operator) -> None:
    for name, state in (("one", Availability.UP), ("other", Availability.DOWN), ("dead", Availability.DOWN)):
        heartbeat = Heartbeat(operator.engine, name, 10, lambda: 0.0)
        heartbeat.beat()
        with writing(operator.engine) as connection:
            why = None if state is Availability.UP else "credit"
            publish(connection, name, [SharedState("main", name, state, why, None)], operator.now)
        if name == "dead":
            heartbeat.stop()
    main, _ = list_accounts(operator, SPECS)
    assert (main.state, main.why, main.processes, main.processes_up) == ("down", "credit", 2, 1)
    assert "secret" not in str(main.as_json())


@pytest.mark.parametrize("name", ["Main", "nobody"])
def test_an_account_that_is_not_there_is_named(operator: Operator, name: str) -> None:
    with pytest.raises(NotFound, match="there is: main, spare"):
        rest_account(operator, SPECS, name, None)
    with pytest.raises(NotFound, match=name):
        resume_account(operator, SPECS, name)
