"""Questions of many requests are asked together, and each request has an answer that was asked for after it came."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from app.errors import StoreUnavailable
from app.exchange.tasks import Tasks
from app.quotas.ledger.attempts.finding import FoundAttempt, WantedAttempt
from app.quotas.ledger.attempts.questions import Questions
from tests.quotas.ledger.attempts.making import a_row


def wanted(number: int) -> WantedAttempt:
    return WantedAttempt("key-1", "generation", f"f{number}", None, 0, "one")


def found(number: int) -> list[FoundAttempt]:
    return [FoundAttempt(a_row(f"r{number}"), "settled", 0, is_bought=True)]


@dataclass
class Database:
    """Answers when it is told to."""

    asked: list[list[str]] = field(default_factory=list)
    begins: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    may_answer: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    error: Exception | None = None

    async def find_all(self, all_wanted: Sequence[WantedAttempt]) -> list[list[FoundAttempt]]:
        self.asked.append([each.fingerprint for each in all_wanted])
        self.begins.release()
        await self.may_answer.acquire()
        if self.error is not None:
            raise self.error
        return [found(int(each.fingerprint[1:])) for each in all_wanted]


@pytest.fixture
def database() -> Database:
    return Database()


def begin(questions: Questions, *numbers: int) -> list["asyncio.Future[list[FoundAttempt]]"]:
    return [asyncio.ensure_future(questions.find(wanted(number))) for number in numbers]


async def test_what_comes_while_one_is_asked_is_asked_together_afterwards(database: Database) -> None:
    questions = Questions(database.find_all, Tasks().start, 10)
    first = begin(questions, 1)
    await database.begins.acquire()
    others = begin(questions, 1, 2, 3)
    database.may_answer.release()
    await database.begins.acquire()
    assert database.asked == [["f1"], ["f1", "f2", "f3"]], "what was asked before it came answers nothing"
    assert await first[0] == found(1)
    database.may_answer.release()
    assert await asyncio.gather(*others) == [found(1), found(2), found(3)]
    database.may_answer.release()
    assert await questions.find(wanted(4)) == found(4)


async def test_no_question_is_about_more_than_a_hundred(database: Database) -> None:
    questions = Questions(database.find_all, Tasks().start, 10)
    for _ in range(3):
        database.may_answer.release()
    assert await asyncio.gather(*begin(questions, *range(250))) == [found(number) for number in range(250)]
    assert [len(asked) for asked in database.asked] == [100, 100, 50]


@pytest.mark.parametrize("error", [StoreUnavailable("away"), RuntimeError("a fault")])
async def test_a_database_that_fails_fails_those_who_asked_and_no_other(database: Database, error: Exception) -> None:
    questions = Questions(database.find_all, Tasks().start, 10)
    database.error = error
    database.may_answer.release()
    refused = await asyncio.gather(*begin(questions, 1, 2), return_exceptions=True)
    assert [type(each) for each in refused] == [StoreUnavailable] * 2
    database.error = None
    database.may_answer.release()
    assert await questions.find(wanted(3)) == found(3)


async def test_nobody_waits_for_ever_and_who_is_gone_is_not_asked_for(database: Database) -> None:
    questions = Questions(database.find_all, Tasks().start, 0.01)
    hanging = begin(questions, 1)
    await database.begins.acquire()
    gone, last = begin(questions, 2, 3)
    await asyncio.sleep(0)
    gone.cancel()
    with pytest.raises(StoreUnavailable):
        await hanging[0]
    with pytest.raises(StoreUnavailable):
        await last
    database.may_answer.release()
    database.may_answer.release()
    assert await questions.find(wanted(4)) == found(4)
    assert all("f2" not in asked for asked in database.asked)
