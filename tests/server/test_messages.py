"""What is said over a worker's line comes out as it went in, in whatever pieces it arrives."""

from datetime import UTC, datetime
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from app.configuration.configuration import ConfigurationState
from app.configuration.reading import check
from app.server.messages import (
    ALIVE,
    READY,
    Lines,
    Using,
    decode,
    encode_configuration,
    encode_death,
    encode_using,
)
from app.settings.settings import Settings

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
STATE = ConfigurationState(7, check(Settings(_env_file=None, zenmux_api_key="sk-ai-v1-x")).configuration, NOON)
SAID = b"".join(
    [READY, ALIVE, encode_death("a" * 16), encode_configuration(STATE), ALIVE, encode_using(Using(7, "abc"))]
) + encode_using(Using(8, ""))


@given(st.lists(st.integers(0, len(SAID)), max_size=8))
def test_every_message_comes_out_whole(cuts: list[int]) -> None:
    lines, heard = Lines(), []
    places = [0, *sorted(cuts), len(SAID)]
    for start, end in pairwise(places):
        heard += [decode(line) for line in lines.whole(SAID[start:end])]
    ready, alive, dead, state, alive_again, *using = heard
    assert (ready, alive, dead, alive_again) == (None, None, "a" * 16, None)
    assert isinstance(state, ConfigurationState)
    assert (state.number, state.read_at, state.is_newest) == (7, NOON, True)
    assert state.configuration.settings == STATE.configuration.settings
    assert using == [Using(7, "abc"), Using(8, "")]


def test_what_holds_secrets_holds_no_line_end() -> None:
    assert encode_configuration(STATE).count(b"\n") == 1
