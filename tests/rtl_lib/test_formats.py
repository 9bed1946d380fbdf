"""``Format``: ranges, the narrowest format of an interval, messages."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtl_lib.core.formats import Format

INTEGERS = st.one_of(st.integers(-20, 20), st.integers(-(2**62), 2**62))


@pytest.mark.parametrize("width", range(1, 65))
def test_range_and_numpy_type(width):
    signed, unsigned = Format(True, width), Format(False, width)
    assert (unsigned.minimum, unsigned.maximum) == (0, 2**width - 1)
    assert (signed.minimum, signed.maximum) == (-(2**width) // 2, 2**width // 2 - 1)
    for f in (signed, unsigned):
        limits = np.iinfo(f.dtype)
        assert limits.min <= f.minimum
        assert f.maximum <= limits.max
        assert f.dtype.itemsize == 1 or f.dtype.itemsize * 4 < width  # the narrowest one
        assert (f.shape.width, f.shape.signed) == (width, f.signed)


@given(INTEGERS, INTEGERS)
def test_containing_is_the_narrowest_format(a, b):
    low, high = min(a, b), max(a, b)
    f = Format.containing(low, high)
    assert f.contains(low, high)
    assert f.signed == (low < 0)
    assert f.width == 1 or not Format(f.signed, f.width - 1).contains(low, high)


@pytest.mark.parametrize(
    ("interval", "name"),
    [
        ((0, 0), "u1"),
        ((0, 1), "u1"),
        ((0, 255), "u8"),
        ((0, 256), "u9"),
        ((-1, -1), "s1"),
        ((-1, 0), "s1"),
        ((-8, -8), "s4"),
        ((-128, 127), "s8"),
        ((-129, 0), "s9"),
    ],
)
def test_containing_small_intervals(interval, name):
    assert str(Format.containing(*interval)) == name


@pytest.mark.parametrize("width", [0, -1, 65])
def test_width_must_be_possible(width):
    with pytest.raises(ValueError, match=re.escape(f"format width must be 1 to 64 bits, not {width}")):
        Format(True, width)


def test_interval_must_not_be_empty():
    with pytest.raises(ValueError, match=re.escape("interval must not be empty, not [3, 2]")):
        Format.containing(3, 2)
