"""Several ZenMux accounts as a state machine: what ZenMux says of each key, servers that go away, new keys, operators
and time, in any order. A model says which accounts could make an image; the sandbox's bill is the judge of what was
bought.
"""

import asyncio
import re
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from pydantic import SecretStr

from app.database.clock import Clock
from app.main import utc_now
from app.sandbox.server import SandboxServer
from app.settings.accounts import AccountOrder, AccountSpec
from app.settings.settings import Settings
from app.upstream.zenmux import Upstream
from tests.e2e.test_accounts import bill_of
from tests.e2e.test_accounts import rule as set_rule
from tests.e2e.test_client_leaves import received
from tests.examples import examples
from tests.servers import RunningGateway, assert_bill_is_ledger, fetch_json, free_port

BODY = {"model": "gpt-image-2", "size": "1024x1024", "quality": "low"}
NAMES = ("one", "two", "limited")
IMAGES_A_DAY = 3  # of the account `limited`
REFUSALS = (
    "status=402",
    "status=402 type=quote_exceeded",
    "status=403 type=access_denied",
    "status=429 retry-after=30",
)
EVERYTHING_IS_TRIED_AGAIN = 1000.0  # seconds: no rest of these refusals is longer
REFUSED_FOR_WANT_OF_AN_ACCOUNT = {
    (429, "insufficient_quota"),
    (429, "rate_limit_exceeded"),
    (502, "upstream_unreachable"),
    (503, "no_account_available"),
    (503, "upstream_account_fault"),
}

names = st.sampled_from(NAMES)


@dataclass
class Known:
    """What the model knows of an account. `keys` are all it has had, the newest last."""

    name: str
    keys: list[str]
    is_refused: bool = False
    is_away: bool = False
    is_rested: bool = False

    def can_buy(self) -> bool:
        return not (self.is_refused or self.is_away or self.is_rested)


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.patches = pytest.MonkeyPatch()
        self.patches.setattr("app.upstream.zenmux._BACKOFF_SECONDS", 0.0)
        self.patches.setattr("app.main.Upstream", self.make_upstream)
        self.folder = Path(tempfile.mkdtemp())
        self.sandbox = SandboxServer().__enter__()
        self.nowhere = f"http://127.0.0.1:{free_port()}/api/v1"
        self.ahead = 0.0
        self.known = {name: Known(name, [name]) for name in NAMES}
        self.bought = 0
        self.made = Counter[date]()  # images of `limited`
        self.is_rested_long = False  # everything has had time to be tried again, and nothing happened since

    def make_upstream(self, chosen: Settings, clock: Clock) -> Upstream:
        self.loop = asyncio.get_running_loop()
        self.upstream = Upstream(chosen, clock, monotonic=lambda: time.monotonic() + self.ahead)
        return self.upstream

    @initialize(order=st.sampled_from(list(AccountOrder)))
    def begin(self, order: AccountOrder) -> None:
        self.order = order
        chosen: dict[str, Any] = {
            "zenmux_api_keys": ", ".join(f"{name}=sk-ai-v1-{name}" for name in NAMES),
            "account_order": order,
            "zenmux_base_url": self.sandbox.url,
            "data_dir": self.folder / "data",
        }
        self.gateway = RunningGateway(
            Settings(_env_file=None, **chosen), lambda: utc_now() + timedelta(seconds=self.ahead)
        ).__enter__()
        self.key = self.gateway.store.key()
        self.gateway.store.limit_account("limited", f"images:{IMAGES_A_DAY}/day")

    def teardown(self) -> None:
        self.gateway.__exit__()
        self.sandbox.__exit__(None, None, None)
        self.patches.undo()
        shutil.rmtree(self.folder)

    # What is asked for.

    def send(self, n: int, prompt: str, *, stream: bool = False) -> httpx2.Response:
        headers = {"authorization": f"Bearer {self.key.text}"}
        body = {**BODY, "prompt": prompt, "n": n, "stream": stream}
        return httpx2.post(f"{self.gateway.url}/images/generations", json=body, headers=headers, timeout=60)

    def today(self) -> date:
        return (utc_now() + timedelta(seconds=self.ahead)).date()

    def up(self) -> set[str]:
        """The accounts that the gateway believes in."""
        said = str(fetch_json(f"{self.gateway.root}/readyz")["accounts"])
        return set(NAMES) - set(re.findall(r"(\w+) (?:down|resting),", said))

    def able(self, n: int) -> set[str]:
        """The accounts that could buy n images now, and of which the gateway may know it."""
        has_room = self.made[self.today()] + n <= IMAGES_A_DAY
        could = {each.name for each in self.known.values() if each.can_buy() and (each.name != "limited" or has_room)}
        return could if self.is_rested_long else could & self.up()

    def newest_row(self) -> dict[str, Any]:
        return self.gateway.store.settled()[-1]

    def note_images(self, account: str, n: int) -> None:
        self.bought += 1
        self.made[self.today()] += n if account == "limited" else 0

    def is_refused_rightly(self, answer: httpx2.Response) -> bool:
        return (answer.status_code, answer.json()["error"]["code"]) in REFUSED_FOR_WANT_OF_AN_ACCOUNT

    @rule(n=st.integers(1, 3), stream=st.booleans())
    def ask(self, n: int, *, stream: bool) -> None:
        able = self.able(n)
        self.is_rested_long = False
        answer = self.send(n, "a house", stream=stream and n == 1)
        if answer.status_code != 200:
            assert not able, f"{answer.text} although {able} could"
            assert self.is_refused_rightly(answer), answer.text
            return
        assert b"b64_json" in answer.content
        account = self.newest_row()["account"]
        assert self.known[account].can_buy()
        self.note_images(account, n)

    @rule(count=st.integers(2, 6))
    def ask_at_once(self, count: int) -> None:
        able = self.able(1) - {"limited"}
        self.is_rested_long = False
        before = len(self.gateway.store.settled())
        with ThreadPoolExecutor(count) as pool:
            answers = list(pool.map(lambda _: self.send(1, "a tree"), range(count)))
        succeeded = sum(answer.status_code == 200 for answer in answers)
        assert all(answer.status_code == 200 or self.is_refused_rightly(answer) for answer in answers)
        assert succeeded == count or not able & self.up(), [answer.text[:200] for answer in answers]
        charged = [row for row in self.gateway.store.settled()[before:] if row["charged_nanousd"]]
        assert len(charged) == succeeded
        for row in charged:
            self.note_images(row["account"], 1)

    @rule(directive=st.sampled_from(("moderation", "status=400", "status=403 type=safety_check_failed")))
    def be_refused_for_what_is_asked(self, directive: str) -> None:
        """One account says it; no second one is asked, and none is thought worse of."""
        able, before = self.able(1), self.up()
        self.is_rested_long = False
        asked = received(self.sandbox)
        answer = self.send(1, f"x [sandbox: {directive}]")
        refusing = sum(not each.is_rested and each.is_refused and not each.is_away for each in self.known.values())
        assert received(self.sandbox) - asked <= refusing + 1
        assert answer.status_code == 400 or (not able and self.is_refused_rightly(answer)), answer.text
        assert able & before <= self.up()

    @rule()
    def be_cut_off(self) -> None:
        """It was sent and may have been bought: charged, and never sent again."""
        able = self.able(1)
        self.is_rested_long = False
        answer = self.send(1, "x [sandbox: reset]")
        if answer.status_code == 502 and answer.json()["error"]["code"] == "upstream_broken":
            row = self.newest_row()
            assert (row["usage_source"], row["state"]) == ("estimated", "settled")
            self.note_images(row["account"], 1)
        else:
            assert not able, answer.text
            assert self.is_refused_rightly(answer), answer.text

    # What happens to the accounts.

    @rule(name=names, written=st.sampled_from(REFUSALS))
    def zenmux_refuses(self, name: str, written: str) -> None:
        set_rule(self.sandbox, self.known[name].keys[-1], written)
        self.known[name].is_refused = True
        self.is_rested_long = False

    @rule(name=names)
    def zenmux_is_content_again(self, name: str) -> None:
        set_rule(self.sandbox, self.known[name].keys[-1], None)
        self.known[name].is_refused = False

    @rule(name=names)
    def a_server_goes_away_or_comes_back(self, name: str) -> None:
        self.known[name].is_away = not self.known[name].is_away
        self.reload()

    @rule(name=names)
    def a_key_is_replaced(self, name: str) -> None:
        known = self.known[name]
        known.keys.append(f"{name}-{len(known.keys)}")
        known.is_refused = False
        self.reload()

    def reload(self) -> None:
        base = AccountSpec("", None)
        specs = [
            replace(
                base,
                name=each.name,
                key=SecretStr(f"sk-ai-v1-{each.keys[-1]}"),
                base_url=self.nowhere if each.is_away else None,
            )
            for each in self.known.values()
        ]
        self.in_the_loop(lambda: self.upstream.replace_accounts(specs, self.order))

    @rule(name=names)
    def an_operator_takes_it_out_or_in(self, name: str) -> None:
        known = self.known[name]
        known.is_rested = not known.is_rested
        accounts = self.upstream.accounts
        self.in_the_loop(lambda: accounts.rest(name, None) if known.is_rested else accounts.resume(name))

    def in_the_loop(self, act: Callable[[], None]) -> None:
        done: Future[None] = Future()

        def call() -> None:
            try:
                act()
            except BaseException as error:  # noqa: BLE001 - the test shall have it
                done.set_exception(error)
            else:
                done.set_result(None)

        self.loop.call_soon_threadsafe(call)
        done.result(20)

    @rule(seconds=st.sampled_from((2.0, 31.0, 70.0, EVERYTHING_IS_TRIED_AGAIN, 86_400.0)))
    def time_passes(self, seconds: float) -> None:
        self.ahead += seconds
        self.is_rested_long = self.is_rested_long or seconds >= EVERYTHING_IS_TRIED_AGAIN

    @rule(name=names)
    def one_is_in_order_again_and_everything_has_been_tried(self, name: str) -> None:
        """Left to chance alone, that is seldom."""
        self.zenmux_is_content_again(name)
        if self.known[name].is_away:
            self.a_server_goes_away_or_comes_back(name)
        if self.known[name].is_rested:
            self.an_operator_takes_it_out_or_in(name)
        self.time_passes(EVERYTHING_IS_TRIED_AGAIN)
        self.ask(1, stream=False)

    # What is always so.

    @invariant()
    def each_accounts_own_bill_is_its_part_of_the_ledger(self) -> None:
        if not hasattr(self, "gateway"):
            return
        assert_bill_is_ledger(self.gateway, self.sandbox, self.bought)
        rows = [row for row in self.gateway.store.rows() if row["charged_nanousd"]]
        for known in self.known.values():
            bill = [line for key in known.keys for line in bill_of(self.sandbox, key)]
            mine = [row for row in rows if row["account"] == known.name]
            reported = [row["upstream_request_id"] for row in mine if row["usage_source"] == "reported"]
            assert len(mine) == len(bill)
            assert set(reported) <= {line["request_id"] for line in bill}

    @invariant()
    def the_limit_of_an_account_holds(self) -> None:
        assert all(made <= IMAGES_A_DAY for made in self.made.values())

    @invariant()
    def only_the_servers_of_accounts_are_kept(self) -> None:
        if hasattr(self, "upstream"):
            origins = {account.origin for account in self.upstream.accounts.all}
            assert set(self.upstream.routes._ways) == origins


@pytest.mark.long("a gateway and a sandbox for each example, and images are bought at every second step")
@pytest.mark.timeout(900)  # 60 examples with HYPOTHESIS_PROFILE=full, of a few seconds each
def test_whatever_happens_to_accounts_nothing_is_bought_twice_and_what_can_be_bought_is() -> None:
    run_state_machine_as_test(
        Machine,
        settings=settings(
            phases=(Phase.generate,),  # shrinking would take minutes
            max_examples=examples(12),
            stateful_step_count=25,
            suppress_health_check=list(HealthCheck),
        ),
    )
