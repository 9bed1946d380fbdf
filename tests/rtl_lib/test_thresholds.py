"""Thresholds: the component is the count, under any stalls; and what cannot be is refused."""

from __future__ import annotations

import numpy as np
import pytest
from contract import check_operator
from hypothesis import given, settings
from hypothesis import strategies as st

from rtl_lib.core.formats import Format
from rtl_lib.elementwise.thresholds import Thresholds

S6, U5, S8 = Format(True, 6), Format(False, 5), Format(True, 8)


def counted(spec: Thresholds, lane: int, number: int) -> int:
    """By the definition."""
    low = int(np.asarray(spec.low).reshape(-1)[lane if np.ndim(spec.low) else 0])
    return low + sum(threshold <= number for threshold in spec.thresholds[lane].tolist())


@st.composite
def thresholds(draw: st.DrawFn) -> Thresholds:
    form = draw(st.sampled_from([S6, U5]))
    lanes, steps = draw(st.integers(1, 3)), draw(st.sampled_from([0, 1, 2, 3, 6, 7, 8, 15, 40]))
    inside = st.integers(form.minimum - 4, form.maximum + 4)
    rows = [sorted(draw(st.lists(inside, min_size=steps, max_size=steps))) for _ in range(lanes)]
    low = draw(st.integers(-60, 60))
    each = np.array([draw(st.integers(-60, 60)) for _ in range(lanes)])
    table = np.array(rows, np.int64).reshape(lanes, steps)
    return Thresholds(form, S8, table, draw(st.sampled_from([low, each])))


@settings(max_examples=60)
@given(thresholds())
def test_the_component_counts(spec: Thresholds) -> None:
    check_operator(spec, 16)
    x = np.arange(spec.input_format.minimum, spec.input_format.maximum + 1)
    y = spec.compute(np.repeat(x, spec.lanes).reshape(1, -1, spec.lanes))
    for lane in range(spec.lanes):
        assert y[0, :, lane].tolist() == [counted(spec, lane, number) for number in x.tolist()]


@pytest.mark.parametrize(("steps", "latency"), [(0, 1), (1, 1), (3, 2), (4, 3), (15, 4), (16, 5), (63, 6)])
def test_a_register_for_each_step_of_the_bisection(steps: int, latency: int) -> None:
    spec = Thresholds(S8, S8, np.arange(steps)[np.newaxis], 0)
    assert spec.latency == latency
    check_operator(spec, 20)


def test_lanes_of_fewer_steps_wait() -> None:
    never = 1 << 50
    spec = Thresholds(S8, S8, np.array([[-9, 0, 3, 4, 70], [1, never, never, never, never], [never] * 5]), -1)
    assert spec.latency == 3
    check_operator(spec, 20)


def test_sums_of_many_bits() -> None:
    form = Format(True, 40)
    rng = np.random.default_rng(0)
    spec = Thresholds(form, Format(False, 6), np.sort(rng.integers(form.minimum, form.maximum, (2, 63))), 0)
    at = spec.thresholds.T.reshape(1, -1, 2)
    check_operator(spec, 126, x=np.concatenate([at - 1, at]).reshape(1, 126, 2))


def test_what_cannot_be_is_refused() -> None:
    one = np.array([[0, 1]])
    with pytest.raises(ValueError, match="must be sorted"):
        Thresholds(S6, S8, one[:, ::-1], 0)
    with pytest.raises(ValueError, match=r"must be \[lanes, up to 65535 steps\], not \[2\]"):
        Thresholds(S6, S8, one[0], 0)
    with pytest.raises(ValueError, match="one for each of the 1 lanes"):
        Thresholds(S6, S8, one, np.array([0, 0]))
    with pytest.raises(ValueError, match=r"the results 126 … 128 must lie in the output format s8"):
        Thresholds(S6, S8, one, 126)
    with pytest.raises(OverflowError, match="an input of 63 bits"):
        Thresholds(Format(True, 63), S8, one, 0)
