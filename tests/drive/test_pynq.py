"""The driver for PYNQ, against a fake `pynq` that answers from the integer model."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import fake_pynq
import numpy as np
import pytest
import small_networks
import tiny
import two_ports

from dnn2fpga.build.boards import load_board
from dnn2fpga.build.tops.ip_registers import (
    IDENTITY,
    MAP_VERSION,
    MAP_VERSION_OF_SEVERAL,
    REGISTERS,
    Control,
    Status,
    registers_of,
)
from dnn2fpga.build.tops.stream_port import StreamPort, StreamPorts
from dnn2fpga.build.vivado.project import write_vivado
from dnn2fpga.drive import pynq as driver
from dnn2fpga.drive.port import AcceleratorError, Port
from dnn2fpga.drive.pynq import Accelerator
from dnn2fpga.generate.bundle import write_bundle
from dnn2fpga.generate.manifest import Manifest
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.optimize.calibration import calibrate
from dnn2fpga.optimize.post_training import Quantization, quantize
from dnn2fpga.passes.simplify import simplify
from dnn2fpga.plan.hardware_plan import plan
from dnn2fpga.plan.settings import PlanSettings
from dnn2fpga.tensors.tensor import Tensor

ASYMMETRIC = Quantization.model_validate({"input_bits": 7, "activation_symmetry": "asymmetric"})
PER_CHANNEL = Quantization.model_validate(
    {"activation_symmetry": "asymmetric", "activation_granularity": "per_channel", "scales": "free"}
)


def shifted(settings: Quantization) -> QuantizedGraph:
    """Inputs around -1 … 3: signed where they are symmetric, with a zero point where they are not."""
    graph = simplify(tiny.float_graph())
    return quantize(graph, calibrate(graph, 4 * tiny.samples() - 1), settings)


DESIGNS: dict[str, tuple[QuantizedGraph, PlanSettings]] = {
    "8 bits, 3 results of 16": (tiny.quantized_graph(), PlanSettings()),
    "4 pixels per beat, rows of 6": (tiny.quantized_graph(), PlanSettings(pixels=4)),
    "2 pixels of 3 channels, rows of 5": (small_networks.network((5, 5, 3), [2, "flat", 3]), PlanSettings(pixels=2)),
    "an image out, 2 pixels per beat": (small_networks.network((5, 5, 3), [2]), PlanSettings(pixels=2)),
    "asymmetric": (shifted(ASYMMETRIC), PlanSettings()),
    "signed, 12 bits in 16": (shifted(Quantization(input_bits=12)), PlanSettings()),
    "a scale for every output": (shifted(PER_CHANNEL), PlanSettings()),
    "a vector": (small_networks.network((6,), [4, 3]), PlanSettings()),
}


@pytest.fixture(scope="module", params=DESIGNS)
def design(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[QuantizedGraph, Manifest, Path]:
    graph, settings = DESIGNS[request.param]
    bundle = tmp_path_factory.mktemp("design") / "bundle"
    return graph, write_bundle(graph, plan(graph, settings), bundle), bundle / "manifest.json"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[QuantizedGraph, Manifest, Path]:
    graph, bundle = tiny.quantized_graph(), tmp_path_factory.mktemp("small") / "bundle"
    return graph, write_bundle(graph, plan(graph), bundle), bundle / "manifest.json"


def loaded(
    monkeypatch: pytest.MonkeyPatch, graph: QuantizedGraph, manifest: Manifest, file: Path, **options: Any
) -> tuple[Accelerator, Any]:
    fake: Any = fake_pynq.module(fake_pynq.of_graph(graph), manifest)
    monkeypatch.setitem(sys.modules, "pynq", fake)
    return Accelerator("accelerator.bit", file, **options), fake


def random_integers(graph: QuantizedGraph, frames: int) -> np.ndarray:
    form = graph.input.format
    q = np.random.default_rng(3).integers(form.minimum, form.maximum + 1, (frames, *graph.input.shape))
    return q.astype(form.dtype)


def test_real_numbers_in_and_out(monkeypatch: pytest.MonkeyPatch, design: Any) -> None:
    """Bit-exact with the integer model, outside of the range too, in several transfers."""
    accelerator, fake = loaded(monkeypatch, *design, frames_per_transfer=3)
    graph = design[0]
    span = np.max(graph.input.scales) * 2.0**graph.input.width
    x = np.random.default_rng(1).uniform(-1.2 * span, 1.2 * span, (8, *graph.input.shape))
    with pytest.warns(UserWarning, match="inputs lie outside the range"):
        result = accelerator.predict(x)
    np.testing.assert_array_equal(result, graph.predict(x))
    assert fake.overlay.accelerator.transfers == [3, 3, 2]
    assert fake.overlay.bitfile_name == "accelerator.bit"


def test_clipped_inputs_are_counted_and_warned_of(monkeypatch: pytest.MonkeyPatch, small: Any) -> None:
    accelerator, _ = loaded(monkeypatch, *small)
    graph = small[0]
    assert accelerator.input.maximum * accelerator.input.scale < 1  # one step short: images are not clipped
    x = np.ones((2, 6, 6, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        accelerator.predict(x)
    x[0, 0, :4] = [[-1], [7], [np.inf], [-np.inf]]
    with pytest.warns(UserWarning, match="4 of 72 inputs lie outside the range") as caught:
        accelerator.predict(x)
    assert caught[0].filename == __file__
    assert int(graph.input.clips(x).sum()) == accelerator.clipped_inputs == 4
    with pytest.warns(UserWarning, match="4 of 36 inputs"):
        accelerator.predict(x[:1])
    assert accelerator.clipped_inputs == 8


def test_nan_is_refused(monkeypatch: pytest.MonkeyPatch, small: Any) -> None:
    accelerator, fake = loaded(monkeypatch, *small)
    x = np.zeros((2, 6, 6, 1))
    x[1, 2, 3] = np.nan
    with pytest.raises(AcceleratorError, match="1 of 72 inputs are NaN"):
        accelerator.predict(x)
    assert fake.overlay.accelerator.transfers == []


def test_decisions_are_those_of_the_task(monkeypatch: pytest.MonkeyPatch, design: Any) -> None:
    accelerator, _ = loaded(monkeypatch, *design)
    graph = design[0]
    x = np.random.default_rng(1).uniform(-1, 1, (8, *graph.input.shape))
    if graph.task.kind.decides:
        expected = graph.task.decisions(graph.predict(x))
        np.testing.assert_array_equal(accelerator.decide(x).reshape(8, -1), expected)
    else:
        with pytest.raises(AcceleratorError, match="a network for regression decides nothing"):
            accelerator.decide(x)


def test_integers_in_and_out(monkeypatch: pytest.MonkeyPatch, design: Any) -> None:
    accelerator, fake = loaded(monkeypatch, *design)
    graph = design[0]
    q = random_integers(graph, 11)
    result = accelerator.run_integers(q)
    assert result.dtype == graph.output.format.dtype
    np.testing.assert_array_equal(result, graph.run(q))
    assert fake.overlay.accelerator.transfers == [11]
    assert accelerator.run_integers(q[:0]).shape == (0, *graph.output.shape)


def test_quantization_is_that_of_the_integer_model(design: Any) -> None:
    """Halves are rounded up, whatever their sign, and all that is beyond is saturated."""
    graph, manifest, _ = design
    port = Port.of(manifest.inputs[0].model_dump())
    steps = np.arange(-3 * 2**graph.input.width, 3 * 2**graph.input.width) / 2
    x = np.resize(steps, (len(steps), *graph.input.shape)) * np.resize(graph.input.scales, graph.input.shape[-1:])
    np.testing.assert_array_equal(port.quantize(x), graph.input.quantize(x))
    q = graph.input.quantize(x)
    np.testing.assert_array_equal(port.dequantize(q), graph.input.dequantize(q))


def test_a_scale_and_a_zero_point_for_every_channel() -> None:
    numbers: dict[str, Any] = {"shape": (4, 3), "signed": True, "width": 7, "lanes": 3}
    numbers |= {"scale": (0.5, 0.3, 0.011), "zero_point": (1, -20, 63)}
    tensor = Tensor(**numbers)
    port = Port(**numbers, beats=4, pixels=1, lane_bits=8)
    x = np.random.default_rng(2).normal(0, 10, (50, 4, 3))
    np.testing.assert_array_equal(port.quantize(x), tensor.quantize(x))
    q = tensor.quantize(x)
    np.testing.assert_array_equal(port.dequantize(q), tensor.dequantize(q))


@pytest.mark.parametrize("width", range(1, 33))
@pytest.mark.parametrize("signed", [False, True])
def test_lanes_of_every_width(width: int, signed: bool) -> None:
    """Packed and unpacked again; and in the bytes that docs/bundle.md says."""
    bits = 8 * -(-width // 8)
    port = Port((2, 5, 2), signed, width, 1.0, 0, lanes=6, beats=4, pixels=3, lane_bits=bits)
    rng = np.random.default_rng(width)
    q = rng.integers(port.minimum, port.maximum + 1, (3, 2, 5, 2)).astype(port.dtype)
    q[0, 0, 0] = port.minimum, port.maximum
    data = port.pack(q)
    assert data.shape == (3, port.frame_bytes)
    np.testing.assert_array_equal(port.unpack(data), q)
    word = int.from_bytes(data[0][port.beat_bytes : 2 * port.beat_bytes].tobytes(), "little")
    beat = [*q[0, 0, 3:5].reshape(-1), 0, 0]  # pixels 3 and 4 of the first row, and none
    assert word == sum((int(v) & (1 << bits) - 1) << lane * bits for lane, v in enumerate(beat))


def test_registers_are_those_of_the_ip(small: Any) -> None:
    several = registers_of(StreamPorts.of(Manifest.model_validate_json(json.dumps(two_ports.manifest()))))
    offsets = {register.name: register.offset for register in several}
    assert {name: offsets[name] for name in driver.REGISTERS} == driver.REGISTERS
    assert list(driver.REGISTERS) == [*(register.name for register in REGISTERS), "waits"]
    assert min({*offsets.values()} - {*driver.REGISTERS.values()}) == driver.PORT_FRAME_BYTES
    versions = (driver.MAP_VERSION, driver.MAP_VERSION_OF_SEVERAL)
    assert (driver.IDENTITY, *versions) == (IDENTITY, MAP_VERSION, MAP_VERSION_OF_SEVERAL)
    assert {name: 1 << bit for name, bit in Status.__members__.items()} == {
        name: getattr(driver, name) for name in Status.__members__
    }
    assert (driver.RUN, driver.SOFT_RESET) == (1 << Control.RUN, 1 << Control.SOFT_RESET)
    for port in (*small[1].inputs, *small[1].outputs):
        assert StreamPort.of(port).frame_bytes == Port.of(port.model_dump()).frame_bytes


def test_counters(monkeypatch: pytest.MonkeyPatch, small: Any) -> None:
    accelerator, fake = loaded(monkeypatch, *small)
    accelerator.run_integers(random_integers(small[0], 5))
    fake.overlay.accelerator.registers |= {"cycles_low": 7, "cycles_high": 3, "latency": 100, "interval": 36}
    assert accelerator.counters() == {
        "cycles": 3 << 32 | 7,
        "frames_in": 5,
        "frames_out": 5,
        "latency": 100,
        "interval": 36,
    }


def test_close_gives_the_buffers_back(monkeypatch: pytest.MonkeyPatch, small: Any) -> None:
    accelerator, fake = loaded(monkeypatch, *small)
    accelerator.close()
    assert all(stream.buffer.freed for stream in accelerator._all)
    assert fake.overlay.accelerator.registers["control"] == 0


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("silent", "no answer for 2 frames within 0.05 s: 1 frames taken, 0 given since the last reset, status 0x0c, "
                   "input waits, output waits; was reset"),
        ("dma error", "the DMA reports an error in receiving: "),
        ("tlast", "the transfer and the frames did not end together: "),
    ],
)  # fmt: skip
def test_what_goes_wrong_is_said_and_the_next_run_is_right(
    monkeypatch: pytest.MonkeyPatch, small: Any, broken: str, message: str
) -> None:
    accelerator, fake = loaded(monkeypatch, *small, timeout_s=0.05)
    q = random_integers(small[0], 2)
    device = fake.overlay.accelerator
    device.broken = broken
    device.registers |= {"frames_in": 1, "status": 0x0C}
    with pytest.raises(AcceleratorError) as caught:
        accelerator.run_integers(q)
    assert str(caught.value).startswith(message)
    assert fake.overlay.dma.sendchannel.started == fake.overlay.dma.recvchannel.started == 2
    device.broken = ""
    np.testing.assert_array_equal(accelerator.run_integers(q), small[0].run(q))


def test_a_dma_that_stays_in_reset(monkeypatch: pytest.MonkeyPatch, small: Any) -> None:
    accelerator, fake = loaded(monkeypatch, *small, timeout_s=0.05)
    fake.overlay.accelerator.broken = "stuck in reset"
    with pytest.raises(AcceleratorError, match=r"the DMA did not come out of reset within 0.05 s; load the overlay"):
        accelerator.run_integers(random_integers(small[0], 1))


def test_the_wrong_bitstream(monkeypatch: pytest.MonkeyPatch, small: Any, tmp_path: Path) -> None:
    graph = small_networks.network((5, 5, 3), [2])
    other = write_bundle(graph, plan(graph), tmp_path / "other")
    with pytest.raises(AcceleratorError, match=r"does not belong to .*manifest\.json: register input_frame_bytes must"):
        loaded(monkeypatch, graph, other, small[2])


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (np.zeros((2, 6, 6), np.uint8), r"inputs must have the shape \(frames, 6, 6, 1\), not \(2, 6, 6\)"),
        (np.zeros((), np.uint8), r"inputs must have the shape"),
        (np.zeros((2, 6, 6, 1)), r"integers are needed, not float64; predict\(\) takes real numbers"),
        (np.full((2, 6, 6, 1), 256), r"inputs must be 0 to 255"),
    ],
)
def test_wrong_inputs(monkeypatch: pytest.MonkeyPatch, small: Any, frames: np.ndarray, message: str) -> None:
    accelerator, _ = loaded(monkeypatch, *small)
    with pytest.raises(AcceleratorError, match=message):
        accelerator.run_integers(frames)


@pytest.mark.parametrize("frames", [-1, 2**16])
def test_wrong_frames_per_transfer(monkeypatch: pytest.MonkeyPatch, small: Any, frames: int) -> None:
    with pytest.raises(AcceleratorError, match=f"frames_per_transfer must be 1 to 65535, not {frames}"):
        loaded(monkeypatch, *small, frames_per_transfer=frames)


def test_the_copy_runs_without_dnn2fpga(small: Any, tmp_path: Path) -> None:
    """The copy runs from another folder, with nothing but NumPy and a `pynq` to import."""
    bundle = small[2].parent
    write_vivado(bundle, load_board("pynq_z2"))
    folder = bundle / "vivado" / "driver"
    (tmp_path / "pynq.py").write_text("def Overlay(name):\n    raise SystemExit('overlay ' + name)\n")
    program = (
        "import sys; sys.meta_path.insert(0, type('Blocker', (), {'find_spec': staticmethod(lambda name, *_: "
        "sys.exit(name) if name.startswith(('dnn2fpga', 'rtl_lib')) else None)}));"
        "from accelerator_pynq import Accelerator; Accelerator('a.bit')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == "overlay a.bit\n"
