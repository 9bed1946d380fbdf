"""binary32: the software against exact fractions and NumPy, the hardware against the software."""

from __future__ import annotations

from dataclasses import dataclass

import binary32_oracle as oracle
import contract
import numpy as np
import pytest
from contract import FRAMES, check_operator
from hypothesis import given, settings
from hypothesis import strategies as st
from stream_bench import run_component

from rtl_lib.binary32.arithmetic import (
    Binary32Add,
    Binary32FromInteger,
    Binary32Multiply,
    Binary32ToInteger,
    add,
    from_integer,
    multiply,
    to_integer,
)
from rtl_lib.core.arithmetic import Rounding
from rtl_lib.core.formats import Format
from rtl_lib.core.operator import Operator

FINITE = st.builds(
    lambda sign, exponent, fraction: sign << 31 | exponent << 23 | fraction,
    st.integers(0, 1),
    st.integers(0, 254),
    st.sampled_from(oracle.FRACTIONS) | st.integers(0, (1 << 23) - 1),
)
CLAMPS = [(-128, 127), (0, 255), (-3, -2), (5, 9), (-(1 << 31), (1 << 31) - 1)]


def floats(bits: object) -> np.ndarray:
    return np.asarray(bits, np.uint32).view(np.float32)


def bits(x: np.ndarray) -> list[int]:
    return x.view(np.uint32).tolist()


def test_directed_products_and_sums() -> None:
    for ours, expected, pairs in (
        (multiply, oracle.multiplied, list(oracle.products())),
        (add, oracle.added, list(oracle.sums())),
    ):
        a, b = floats(pairs).T
        assert bits(ours(a, b)) == [expected(*pair) for pair in pairs]
        assert bits(ours(b, a)) == bits(ours(a, b))


@given(FINITE, FINITE)
@settings(max_examples=500)
def test_any_product_and_sum(a: int, b: int) -> None:
    x, y = floats([a]), floats([b])
    assert bits(multiply(x, y)) == [oracle.multiplied(a, b)]
    assert bits(add(x, y)) == [oracle.added(a, b)]


def test_it_is_ieee_where_nothing_is_subnormal() -> None:
    a, b = floats(oracle.random_pairs(200_000, 0)).T
    for ours, plain in ((multiply, np.multiply), (add, np.add)):
        with np.errstate(over="ignore", under="ignore"):
            expected = plain(a, b)
        smallest = np.float32(2.0**-126)
        normal = (abs(a) >= smallest) & (abs(b) >= smallest) & (abs(expected) > smallest)
        assert normal.sum() > 100_000
        assert bits(ours(a[normal], b[normal])) == bits(expected[normal])


def test_the_rules_at_the_edges() -> None:
    zero, negative_zero, one = 0, oracle.SIGN, 0x3F800000
    subnormal, smallest, largest = 0x807FFFFF, 0x00800000, 0x7F7FFFFF
    for a, b, expected in [
        (one, one | oracle.SIGN, zero),
        (negative_zero, negative_zero, negative_zero),
        (zero, negative_zero, zero),
        (subnormal, one, one),
        (subnormal, negative_zero, negative_zero),
        (subnormal, zero, zero),
        (smallest + 1, smallest | oracle.SIGN, zero),  # 2^-149 is flushed
        (smallest, (smallest + 1) | oracle.SIGN, negative_zero),
        (largest, 0x72FFFFFF, largest),
        (largest, 0x73000000, oracle.INFINITY),  # a tie
    ]:
        assert bits(add(floats([a]), floats([b]))) == [expected] == [oracle.added(a, b)]
    for a, b, expected in [
        (subnormal, one, negative_zero),
        (zero, one | oracle.SIGN, negative_zero),
        (0x3F7FFFFF, smallest, zero),  # below 2^-126 by less than rounding would add
        (0x3FFFFFFF, 0x00000001, zero),
        (0x3F000000, 0x01000000, smallest),
        (largest, 0xBF800001, oracle.SIGN | oracle.INFINITY),
    ]:
        assert bits(multiply(floats([a]), floats([b]))) == [expected] == [oracle.multiplied(a, b)]


@pytest.mark.parametrize("rounding", Rounding)
def test_to_integer(rounding: Rounding) -> None:
    halves = np.arange(-600, 600) / 4
    close = np.concatenate([np.nextafter(np.float32(halves), np.float32(side)) for side in (-np.inf, 0, np.inf)])
    x = np.concatenate([halves, close, floats(oracle.random_pairs(1000, 1)).reshape(-1)]).astype(np.float32)
    for low, high in CLAMPS:
        expected = [oracle.integer(pattern, low, high, rounding) for pattern in bits(x)]
        found = to_integer(x, low, high, rounding)
        assert found.dtype == np.int64
        assert found.tolist() == expected


@given(FINITE, st.sampled_from(CLAMPS), st.sampled_from(Rounding))
@settings(max_examples=300)
def test_any_number_to_integer(pattern: int, clamp: tuple[int, int], rounding: Rounding) -> None:
    assert to_integer(floats([pattern]), *clamp, rounding).tolist() == [oracle.integer(pattern, *clamp, rounding)]


def test_from_integer() -> None:
    x = np.concatenate([np.arange(-70_000, 70_000), np.array([1, -1]) * (2**24 - 1)])
    assert from_integer(x).astype(np.int64).tolist() == x.tolist()
    assert bits(from_integer(np.zeros(1, np.int64))) == [0]


def use_patterns(monkeypatch: pytest.MonkeyPatch, patterns: np.ndarray) -> int:
    """Make the contract send ``patterns [n, lanes]``; return the beats per frame."""
    beats = len(patterns) // FRAMES
    frames = patterns[: FRAMES * beats].reshape(FRAMES, beats, -1)
    monkeypatch.setattr(contract, "random_input", lambda *_: frames.astype(np.int64))
    return beats


@pytest.mark.parametrize(
    ("operator", "pairs"),
    [(Binary32Multiply(), oracle.products), (Binary32Add(), oracle.sums)],
    ids=["multiply", "add"],
)
def test_the_hardware_computes_as_the_software(
    operator: Operator, pairs: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    directed = np.array(list(pairs()))  # type: ignore[operator]
    np.random.default_rng(2).shuffle(directed)
    patterns = np.concatenate([directed[:2000], oracle.random_pairs(1000, 3)])
    run = run_component(operator.create(), patterns, len(patterns))
    assert run.outputs.tolist() == operator.compute(patterns).tolist()
    check_operator(operator, use_patterns(monkeypatch, patterns[:90]))


@pytest.mark.parametrize("rounding", Rounding)
def test_the_hardware_converts_to_integers(rounding: Rounding, monkeypatch: pytest.MonkeyPatch) -> None:
    halves = (np.arange(-300, 300) / 4).astype(np.float32)
    large = (np.float32(2) ** np.arange(0, 34))[:, np.newaxis] * np.float32([1, -1, 1.75, -1.75])
    x = np.concatenate([halves, np.nextafter(halves, np.float32(0)), large.reshape(-1)]).view(np.uint32)
    patterns = np.concatenate([x, oracle.random_pairs(50, 4).reshape(-1)])
    for low, high in CLAMPS:
        operator = Binary32ToInteger(Format.containing(low, high), 2, low, high, rounding)
        chosen = np.random.default_rng(5).choice(patterns, (75, 2))
        check_operator(operator, use_patterns(monkeypatch, chosen))


@pytest.mark.parametrize("format", [Format(True, 25), Format(False, 24), Format(True, 17), Format(False, 1)], ids=str)
def test_the_hardware_converts_from_integers(format: Format, monkeypatch: pytest.MonkeyPatch) -> None:
    powers = [sign * (1 << k) + d for k in range(24) for sign in (-1, 1) for d in (-1, 0, 1)]
    fitting = [v for v in powers if format.contains(v, v) and abs(v) < 1 << 24]
    check_operator(Binary32FromInteger(format, 1), use_patterns(monkeypatch, np.array([fitting]).T))


@dataclass(frozen=True)
class AwayFromEven(Binary32Add):
    """Rounds ties the wrong way."""

    def compute(self, x: np.ndarray) -> np.ndarray:
        a, b = (floats(x[..., k]).astype(np.float64) for k in range(2))
        exact, rounded = a + b, super().compute(x).view(np.float32)[..., 0]
        error = exact - rounded.astype(np.float64)
        other = np.nextafter(rounded, np.where(error > 0, np.inf, -np.inf).astype(np.float32))
        tie = (error != 0) & (abs(other.astype(np.float64) - exact) == abs(error))
        return np.where(tie, other, rounded).view(np.uint32)[..., np.newaxis]


def test_a_tie_rounded_the_wrong_way_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    ties = np.array([(0x3F800000 | k, 0x33800000) for k in range(12)])  # 1 + k·2^-23, and half of its last place
    with pytest.raises(AssertionError, match="values"):
        check_operator(AwayFromEven(), use_patterns(monkeypatch, ties))


def test_impossible_conversions_are_refused() -> None:
    with pytest.raises(ValueError, match="a magnitude of at most 24 bits to be exact, not u25"):
        Binary32FromInteger(Format(False, 25), 1)
    with pytest.raises(ValueError, match=r"the clamp \[-1, 5\] must be an interval inside the output format u4"):
        Binary32ToInteger(Format(False, 4), 1, -1, 5)
    with pytest.raises(ValueError, match=r"the clamp \[5, 4\] must be an interval"):
        Binary32ToInteger(Format(False, 4), 1, 5, 4)
    with pytest.raises(ValueError, match="must have at most 32 bits, not s33"):
        Binary32ToInteger(Format(True, 33), 1, 0, 1)
