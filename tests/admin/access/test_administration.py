"""Use cases beside the event loop: how long each read took is observed."""

from contextlib import AsyncExitStack

import pytest

from app.admin.access.administration import open_administration
from app.admin.operator import Operator
from app.errors import NotFound
from app.identity.people.principal import Principal
from app.identity.people.roles import Role
from tests.quotas.making import StillClock

pytestmark = pytest.mark.anyio


async def test_each_read_is_timed_also_one_that_fails(store_url: str) -> None:
    seconds: list[float] = []
    principal = Principal("admin-key", Role.ADMIN)

    def fail(_: Operator) -> None:
        raise NotFound("nothing")

    async with AsyncExitStack() as stack:
        administration = open_administration(store_url, StillClock(), stack, lambda: None, seconds.append)
        assert await administration.read(principal, lambda operator: operator.principal) == principal
        with pytest.raises(NotFound):
            await administration.read(principal, fail)
    assert len(seconds) == 2
    assert all(0 <= each < 60 for each in seconds)
