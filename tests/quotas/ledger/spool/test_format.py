from binascii import crc32
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.images.cost.usage import Usage
from app.quotas.ledger.commands import Resolve
from app.quotas.ledger.spool.format import Contents, read_spool, spool_line
from app.quotas.rules.reservation import Amounts, Settlement, State, UsageSource
from tests.quotas.making import NOON, released, settled

words = st.text(st.sampled_from('az0 \n\r\t\0"\\,:{}é€😀\udc80\u2028'), max_size=20)
counts = st.integers(0, 2**63 - 1)
moments = st.integers(0, 4_000_000_000_000).map(
    lambda ms: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
)


@st.composite
def resolutions(draw: st.DrawFn) -> Resolve:
    is_release = draw(st.booleans())
    source = UsageSource.NONE if is_release else draw(st.sampled_from(UsageSource))
    charged = Amounts(*draw(st.tuples(counts, counts, counts, counts)))
    if source is UsageSource.NONE:
        charged = Amounts() if is_release else Amounts(requests=1)
    settlement = Settlement(
        state=State.RELEASED if is_release else State.SETTLED,
        outcome=draw(words),
        usage_source=source,
        charged=charged,
        usage=draw(st.none() | st.builds(Usage, counts, counts, counts, counts)),
        priced=draw(st.booleans()),
        client_left=draw(st.booleans()),
        upstream_status=draw(st.none() | st.integers(100, 999)),
        upstream_request_id=draw(st.none() | words),
        first_byte_ms=draw(st.none() | counts),
        duration_ms=draw(counts),
        resolved_at=draw(moments),
    )
    return Resolve(draw(words), settlement)


files = st.lists(resolutions(), min_size=1, max_size=5)


def written(given_: list[Resolve]) -> bytes:
    return b"".join(spool_line(resolution) for resolution in given_)


@given(st.lists(resolutions(), max_size=5))
def test_what_is_written_is_read(given_: list[Resolve]) -> None:
    assert read_spool(written(given_)) == Contents(tuple(given_), unreadable=0)


@given(resolutions())
def test_a_resolution_is_one_line_of_ascii(resolution: Resolve) -> None:
    line = spool_line(resolution)
    assert line.isascii()
    assert line.index(b"\n") == len(line) - 1


@given(files, st.data())
def test_a_file_that_was_cut_gives_every_whole_line(given_: list[Resolve], data: st.DataObject) -> None:
    whole = written(given_)
    cut = data.draw(st.integers(0, len(whole) - 1))
    contents = read_spool(whole[:cut])
    # A line without its end says all that it has to say.
    ends = [len(written(given_[: index + 1])) - 1 for index in range(len(given_))]
    assert contents.resolutions == tuple(given_[: sum(end <= cut for end in ends)])
    assert contents.unreadable == 0


@given(files, st.data())
def test_damage_costs_the_lines_it_touches_and_makes_up_nothing(given_: list[Resolve], data: st.DataObject) -> None:
    damaged = bytearray(written(given_))
    where = data.draw(st.integers(0, len(damaged) - 1))
    damaged[where] ^= data.draw(st.integers(1, 255))
    contents = read_spool(bytes(damaged))
    hurt = written(given_)[:where].count(b"\n")  # and the next one, where the end between them was hit
    assert list(contents.resolutions) in (given_[:hurt] + given_[hurt + 1 :], given_[:hurt] + given_[hurt + 2 :])
    assert contents.unreadable or where == len(damaged) - 1  # a last line without its end counts as cut


@given(st.binary(max_size=300))
def test_noise_is_never_a_resolution(noise: bytes) -> None:
    assert read_spool(noise).resolutions == ()


def test_times_are_kept_to_the_millisecond() -> None:
    resolution = Resolve("r1", settled(NOON + timedelta(microseconds=123_456)))
    [read] = read_spool(spool_line(resolution)).resolutions
    assert read.settlement.resolved_at == NOON + timedelta(milliseconds=123)


@pytest.mark.parametrize(
    "wrong",
    [
        settled()._replace(charged=Amounts(1, -1, 0, 0)),
        released()._replace(charged=Amounts(1, 1, 1, 1)),
        settled()._replace(state=State.EXPIRED),
    ],
)
def test_what_no_process_may_say_is_not_read(wrong: Settlement) -> None:
    assert read_spool(spool_line(Resolve("r1", wrong))) == Contents((), unreadable=1)


def test_a_line_of_another_version_is_told_apart() -> None:
    line = spool_line(Resolve("r1", settled()))
    text = line[9:-1].replace(b'{"v":1,', b'{"v":2,')
    assert read_spool(b"%08x %s\n" % (crc32(text), text)) == Contents((), unreadable=1)
