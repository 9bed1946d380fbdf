"""The levels of every weight set by hand, and how numbers get onto them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnn2fpga.quantize.weight_sets import Levels, WeightSet, levels_of

WIDTHS = {
    WeightSet.INTEGER: (1, 16),
    WeightSet.TWOS_COMPLEMENT: (2, 16),
    WeightSet.BINARY: (1, 1),
    WeightSet.TERNARY: (2, 2),
    WeightSet.POWER_OF_TWO: (2, 5),
    WeightSet.ADDITIVE_POWER_OF_TWO: (3, 7),
}
ALL = [(weight_set, bits) for weight_set, (first, last) in WIDTHS.items() for bits in range(first, last + 1)]
# magnitudes: every level but 0 has both signs
BY_HAND: dict[tuple[WeightSet, int], list[int]] = {
    (WeightSet.INTEGER, 1): [1],
    (WeightSet.INTEGER, 2): [0, 1],
    (WeightSet.INTEGER, 4): [0, 1, 2, 3, 4, 5, 6, 7],
    (WeightSet.BINARY, 1): [1],
    (WeightSet.TERNARY, 2): [0, 1],
    (WeightSet.POWER_OF_TWO, 2): [0, 1],
    (WeightSet.POWER_OF_TWO, 3): [0, 1, 2, 4],
    (WeightSet.POWER_OF_TWO, 4): [0, 1, 2, 4, 8, 16, 32, 64],
    (WeightSet.POWER_OF_TWO, 5): [0, *(1 << k for k in range(15))],
    # {0, 2} + {0, 1}
    (WeightSet.ADDITIVE_POWER_OF_TWO, 3): [0, 1, 2, 3],
    # {0, 1, 4, 16} + {0, 8}
    (WeightSet.ADDITIVE_POWER_OF_TWO, 4): [0, 1, 4, 8, 9, 12, 16, 24],
    # {0, 2, 8, 32} + {0, 1, 4, 16}
    (WeightSet.ADDITIVE_POWER_OF_TWO, 5): [0, 1, 2, 3, 4, 6, 8, 9, 12, 16, 18, 24, 32, 33, 36, 48],
}


def every_level(weight_set: WeightSet, bits: int) -> list[int]:
    levels = levels_of(weight_set, bits)
    return list(levels.listed or range(levels.low, levels.high + 1))


@pytest.mark.parametrize(("weight_set", "bits"), BY_HAND)
def test_levels(weight_set: WeightSet, bits: int) -> None:
    magnitudes = BY_HAND[weight_set, bits]
    assert every_level(weight_set, bits) == sorted({sign * m for m in magnitudes for sign in (1, -1)})


def test_levels_of_twos_complement() -> None:
    assert every_level(WeightSet.TWOS_COMPLEMENT, 2) == [-2, -1, 0, 1]
    assert every_level(WeightSet.TWOS_COMPLEMENT, 3) == [-4, -3, -2, -1, 0, 1, 2, 3]


@pytest.mark.parametrize(("weight_set", "bits"), ALL)
def test_every_width_names_its_levels_and_stays_within_sixteen_bits(weight_set: WeightSet, bits: int) -> None:
    found, levels = every_level(weight_set, bits), levels_of(weight_set, bits)
    assert found == sorted(set(found))
    symmetric = weight_set is not WeightSet.TWOS_COMPLEMENT
    assert (found == [-level for level in reversed(found)]) == symmetric
    # of symmetric ones, the code for -0 is left over, but not where there is no 0
    assert len(found) == 2**bits - (symmetric and 0 in found)
    assert (levels.low, levels.high) == (found[0], found[-1])
    assert levels.high < 2**15


@pytest.mark.parametrize("weight_set", WeightSet)
def test_widths_that_a_set_does_not_have_are_refused(weight_set: WeightSet) -> None:
    first, last = WIDTHS[weight_set]
    for bits in {*range(18)} - {*range(first, last + 1)}:
        with pytest.raises(ValueError, match=rf"weight set '{weight_set.value}' has .*, not {bits}$"):
            levels_of(weight_set, bits)
    with pytest.raises(ValueError, match="'binary' has 1 bit, not 2"):
        levels_of(WeightSet.BINARY, 2)
    with pytest.raises(ValueError, match="'ternary' has 2 bits, not 8"):
        levels_of(WeightSet.TERNARY, 8)
    with pytest.raises(ValueError, match="'power_of_two' has 2 to 5 bits, not 6"):
        levels_of(WeightSet.POWER_OF_TWO, 6)


def test_nearest_by_hand() -> None:
    ternary = levels_of(WeightSet.TERNARY, 2)
    assert ternary.nearest(np.array([-9, -0.5, -0.51, 0.49, 0.5, 7])).tolist() == [-1, 0, -1, 0, 1, 1]
    binary = levels_of(WeightSet.BINARY, 1)
    assert binary.nearest(np.array([-9, -1e-9, 0.0, 1e-9, 9])).tolist() == [-1, -1, 1, 1, 1]
    powers = levels_of(WeightSet.POWER_OF_TWO, 4)
    assert powers.nearest(np.array([3.0, 2.99, -3.0, -3.01, 6, 96, 1e9])).tolist() == [4, 2, -2, -4, 8, 64, 64]


@given(st.sampled_from(ALL), st.integers(-(2**22), 2**22))
def test_nearest_is_nearest_and_half_up(which: tuple[WeightSet, int], sixty_fourths: int) -> None:
    x = sixty_fourths / 64  # exactly: borders are hit
    levels, found = levels_of(*which), every_level(*which)
    least = min(abs(x - level) for level in found)
    assert levels.nearest(np.array([x])).tolist() == [max(level for level in found if abs(x - level) == least)]


@given(st.sampled_from(ALL), st.data())
def test_nearest_on_levels_and_borders(which: tuple[WeightSet, int], data: st.DataObject) -> None:
    levels, found = levels_of(*which), every_level(*which)
    index = data.draw(st.integers(1, len(found) - 1))
    below, above = found[index - 1 : index + 1]
    border = (below + above) / 2
    points = np.array([below, border - 1e-9, border, above])
    assert levels.nearest(points).tolist() == [below, below, above, above]


@pytest.mark.parametrize(("weight_set", "bits"), ALL)
def test_contain(weight_set: WeightSet, bits: int) -> None:
    levels, found = levels_of(weight_set, bits), set(every_level(weight_set, bits))
    assert levels.contain(np.array(sorted(found)))
    beyond = range(min(found) - 2, max(found) + 3)
    for number in beyond if len(beyond) < 1000 else [beyond[0], beyond[1], 3 * 2**9 + 5, beyond[-2], beyond[-1]]:
        assert levels.contain(np.array([[number]])) == (number in found)


def test_of_sorts() -> None:
    assert Levels.of([3, -1, 3, 0]) == Levels(-1, 3, (-1, 0, 3))
