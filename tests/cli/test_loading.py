"""The collector of garbage is off while modules load, and on afterwards."""

import gc

import pytest

from app.cli.loading import loading


def test_the_collector_is_off_for_the_block_only() -> None:
    seen: list[bool] = []

    def fail() -> None:
        with loading():
            seen.append(gc.isenabled())
            raise ImportError

    with pytest.raises(ImportError):
        fail()
    assert seen == [False]
    assert gc.isenabled()
