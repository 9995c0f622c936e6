"""Accounts and bill: an account is taken out and in, and a day is compared with what the sandbox billed."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from pydantic import SecretStr

from app.console.pages.accounts import BilledDay, billed_days
from app.main import utc_now
from app.sandbox.server import SandboxServer
from tests.console.conftest import Console, console_settings
from tests.servers import UPSTREAM_KEY, RunningGateway, assert_bill_is_ledger, wait_until

PATH = "/console/accounts"
BOAT = {"model": "gpt-image-2", "prompt": "a boat", "size": "1024x1024", "quality": "low"}


@pytest.fixture
def sandbox() -> Iterator[SandboxServer]:
    with SandboxServer() as server:
        yield server


@pytest.fixture
def console(tmp_path: Path, store_url: str, sandbox: SandboxServer) -> Iterator[Console]:
    changes = {"zenmux_base_url": sandbox.url, "zenmux_management_key": SecretStr("sk-mg-v1-test")}
    settings = console_settings(tmp_path / "data", store_url).model_copy(update=changes)
    with RunningGateway(settings) as gateway:
        found = Console(gateway, [])
        yield found
        for browser in found.browsers:
            browser.client.close()


def buy(console: Console) -> int:
    key = console.gateway.store.key()
    headers = {"authorization": f"Bearer {key.text}"}
    url = f"{console.gateway.url}/images/generations"
    return httpx2.post(url, json=BOAT, headers=headers, timeout=30).status_code


def test_a_day_is_compared_and_what_was_bought_elsewhere_is_drift(console: Console, sandbox: SandboxServer) -> None:
    admin, today = console.signed_in("vera", "admin"), utc_now().date().isoformat()
    assert "No day of the last two months" in admin.get(PATH).text
    assert buy(console) == 200
    assert_bill_is_ledger(console.gateway, sandbox, 1)
    done = admin.post(f"{PATH}/bill", day=today)
    assert done.headers["location"] == f"{PATH}?done=bill-equal"
    page = admin.get(done.headers["location"]).text
    assert ("The ledger is what ZenMux billed." in page, '<span class="badge ok">none' in page) == (True, True)
    elsewhere = {"authorization": f"Bearer {UPSTREAM_KEY}"}
    wanted = BOAT | {"model": "openai/gpt-image-2"}
    assert httpx2.post(f"{sandbox.url}/images/generations", json=wanted, headers=elsewhere, timeout=30).is_success
    assert admin.post(f"{PATH}/bill", day=today).headers["location"] == f"{PATH}?done=bill-drift"
    assert '<span class="badge warn">-$' in admin.get(PATH).text
    (row,) = csv.DictReader(io.StringIO(admin.get(f"{PATH}?format=csv").text))
    assert (row["day"], row["model"], row["ledger_requests"], row["billed_requests"]) == (
        today, "openai/gpt-image-2", "1", "2",
    )  # fmt: skip


@pytest.mark.parametrize("day", ["tomorrow", "2999-01-01"])
def test_a_day_that_is_none_is_refused_with_its_reason(console: Console, day: str) -> None:
    refused = console.signed_in("vera", "admin").post(f"{PATH}/bill", day=day)
    assert (refused.status_code, 'role="alert"' in refused.text) == (400, True)


def test_an_account_is_taken_out_and_in(console: Console) -> None:
    admin = console.signed_in("vera", "admin")
    page = admin.get(PATH).text
    assert ("Take out</summary>" in page, "sk-" in page) == (True, False)
    assert admin.post(f"{PATH}/main", do="rest", until="1h").headers["location"].endswith("done=account-rested")
    page = admin.get(PATH).text
    assert ("Take in again" in page, "<small>since <time" in page) == (True, True)
    wait_until(lambda: buy(console) == 503, "the gateway obeys")
    assert admin.post(f"{PATH}/main", do="resume").headers["location"].endswith("done=account-resumed")
    wait_until(lambda: buy(console) == 200, "the gateway obeys again")
    for form in ({"do": "rest", "until": "ever"}, {"do": "dance"}):
        assert admin.post(f"{PATH}/main", **form).status_code == 400
    assert "There is no account spare" in admin.post(f"{PATH}/spare", do="resume").text


def test_who_only_reads_sees_no_form(console: Console) -> None:
    auditor = console.signed_in("otto", "auditor")
    page = auditor.get(PATH).text
    assert ("ZenMux accounts" in page, f'action="{PATH}' in page) == (True, False)
    assert auditor.post(f"{PATH}/main", do="rest", until="").status_code == 403
    assert auditor.post(f"{PATH}/bill", day="").status_code == 403
    assert console.signed_in("lena", "lead").get(PATH).status_code == 403


def test_the_models_of_a_bill_are_summed() -> None:
    row = {"checked_at": "x", "ledger_requests": 1, "ledger_nanousd": 5, "billed_requests": 2, "billed_nanousd": 7}
    rows = [{"day": day, "account": account, **row} for day, account in (("2", None), ("2", None), ("1", "main"))]
    summed = [BilledDay("2", None, "x", 2, 10, 4, 14), BilledDay("1", "main", "x", 1, 5, 2, 7)]
    assert billed_days(rows) == summed
    assert [day.drift_nanousd for day in summed] == [-4, -2]
