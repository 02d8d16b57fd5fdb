"""Where tensors lie in the arena: none that is alive is overwritten, and no more is taken than is needed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pulseproof.firmware.planner import ALIGNMENT, ArenaBuffer, aligned, place

Buffers = dict[tuple[str, int], ArenaBuffer]


@st.composite
def buffers(draw: st.DrawFn) -> Buffers:
    found = {}
    for at in range(draw(st.integers(1, 12))):
        first = draw(st.integers(0, 8))
        found["tensor", at] = ArenaBuffer(draw(st.integers(1, 200)), first, first + draw(st.integers(0, 4)))
    return found


@given(buffers())
def test_no_two_that_live_at_once_overlap(given_: Buffers) -> None:
    places = place(given_)
    for one, mine in given_.items():
        assert places[one] % ALIGNMENT == 0
        for other, its in given_.items():
            if other != one and mine.first <= its.last and its.first <= mine.last:
                assert places[one] + mine.size <= places[other] or places[other] + its.size <= places[one]


def test_a_chain_takes_the_largest_pair() -> None:
    sizes = [500, 4000, 2000, 1000, 30]
    chain = {("tensor", at): ArenaBuffer(size, at, at + 1) for at, size in enumerate(sizes)}
    places = place(chain)
    end = max(places[key] + aligned(one.size) for key, one in chain.items())
    assert end == aligned(4000) + aligned(2000)
