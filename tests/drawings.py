"""The sandboxes of a test process draw each image once, which saves a seventh of what tests with a gateway cost."""

from collections.abc import Iterator

import pytest

from app.sandbox import generations
from app.sandbox.images.drawing import NO_SOURCES, Drawn, draw_all
from app.sandbox.images.editing import Sources
from app.sandbox.images.lettering import Lettering
from app.sandbox.requests.asked import Asked

_KEPT_MAX = 32


@pytest.fixture(scope="session", autouse=True)
def draw_once() -> Iterator[None]:
    kept: dict[str, Drawn] = {}

    def draw(asked: Asked, lettering: Lettering, inputs: Sources = NO_SOURCES) -> Drawn:
        if inputs != NO_SOURCES:
            return draw_all(asked, lettering, inputs)
        drawn = kept.pop(repr(asked), None) or draw_all(asked, lettering)
        kept[repr(asked)] = drawn  # the newest comes last
        while len(kept) > _KEPT_MAX:
            kept.pop(next(iter(kept)), None)
        return drawn

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generations, "draw_all", draw)
        yield
