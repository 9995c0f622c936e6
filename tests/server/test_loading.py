"""The collector of garbage is off while modules load; afterwards it is on and passes over what was loaded."""

import gc

import pytest

from app.server.loading import loading


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


def test_what_was_loaded_is_not_looked_at_again() -> None:
    gc.unfreeze()
    with loading():
        loaded: list[object] = []
    assert gc.get_freeze_count() > 0
    assert not any(each is loaded for each in gc.get_objects())
