"""Blocks reduced as they arrive: integers against loops, cycles against the timing models, whatever source and sink
do.
"""

from __future__ import annotations

import numpy as np
import pytest
from amaranth.hdl import Value
from contract import FRAMES, STALLS, check_cycles, check_operator, random_input
from hypothesis import example, given, settings
from hypothesis import strategies as st
from stream_bench import run_component
from test_timing_models_under_stalls import PATTERNS, first_difference

from rtl_lib.core.formats import Format
from rtl_lib.core.stream import Beat
from rtl_lib.core.timing import BeatModel
from rtl_lib.core.trace import trace_chain
from rtl_lib.image.block_reduction import BlockReduction, BlockReductionComponent, BlockReductionModel, Stretch
from rtl_lib.image.reduction import Reduction, WindowReduction
from rtl_lib.image.windows import Windows
from rtl_lib.streams.pixel_rows import PixelRows

MAXIMUM, SUM = Reduction.MAXIMUM, Reduction.SUM
U4, S5 = Format(False, 4), Format(True, 5)
FORMATS = [Format(False, 1), Format(True, 1), Format(True, 2), U4, S5]


@st.composite
def cases(draw: st.DrawFn) -> tuple[BlockReduction, int]:
    """Blocks, with a surplus or none, and pixels per beat."""
    pixels = draw(st.sampled_from([1, 1, 2, 4, 6, 8]))
    high = draw(st.integers(1, 4))
    wide = draw(st.sampled_from([n for n in range(1, 9) if pixels == 1 or pixels % n == 0]))
    size = [draw(st.integers(1, 4)) * n + draw(st.integers(0, n - 1)) for n in (high, wide)]
    channels, format = draw(st.integers(1, 2)), draw(st.sampled_from(FORMATS))
    return BlockReduction(*size, channels, format, (high, wide), draw(st.sampled_from(Reduction))), pixels


def beats_of(spec: BlockReduction, pixels: int) -> tuple[PixelRows, PixelRows]:
    """Return the rows as they arrive and leave."""
    return PixelRows(spec.width, pixels), PixelRows(spec.output_size[1], spec.pixels_out(pixels) or 0)


def check(spec: BlockReduction, pixels: int, seed: int, kind: type = BlockReductionComponent) -> None:
    """Check a component against its spec; raise ``AssertionError`` at the first difference."""
    arriving, leaving = beats_of(spec, pixels)
    x = random_input(spec, spec.height * spec.width, seed)
    f = spec.input_format
    beats = arriving.pack(x)
    garbage = np.random.default_rng(seed).integers(f.minimum, f.maximum, beats.shape, endpoint=True)
    beats = np.where(np.repeat(arriving.counted(spec.height), spec.channels, axis=1), beats, garbage)
    output_beats = leaving.beats_per_frame(spec.output_size[0])
    for source, sink in STALLS:
        run = run_component(
            kind(spec, pixels),
            beats.reshape(-1, beats.shape[2]),
            FRAMES * output_beats,
            source_pause=source,
            sink_pause=sink,
            seed=seed,
        )
        assert len(run.outputs) == FRAMES * output_beats, f"beats, source {source}, sink {sink}"
        found = leaving.unpack(run.outputs.reshape(FRAMES, output_beats, -1))
        assert found.tolist() == spec.compute(x).tolist(), f"values, source {source}, sink {sink}"
        if source == sink == 0:
            check_cycles(kind(spec, pixels), beats.shape[1], output_beats, run)


@settings(max_examples=80)
@given(cases(), st.integers(0, 99))
@example((BlockReduction(4, 6, 2, S5, (2, 2), MAXIMUM), 1), 1)
@example((BlockReduction(5, 7, 2, S5, (2, 2), SUM), 1), 1)  # a surplus on the right and below
@example((BlockReduction(7, 3, 1, U4, (2, 2), MAXIMUM), 1), 1)  # one block in a row
@example((BlockReduction(4, 2, 1, U4, (2, 1), SUM), 1), 1)  # read in the beat after it was written
@example((BlockReduction(4, 1, 1, U4, (2, 1), SUM), 1), 1)
@example((BlockReduction(1, 5, 1, S5, (1, 2), MAXIMUM), 1), 1)  # no memory
@example((BlockReduction(3, 3, 1, S5, (1, 1), SUM), 1), 1)
@example((BlockReduction(4, 9, 1, U4, (2, 2), MAXIMUM), 2), 1)  # the last beat of a row has no block
@example((BlockReduction(4, 7, 1, U4, (2, 2), SUM), 4), 1)  # the last block of a row's last beat is garbage
@example((BlockReduction(4, 11, 1, U4, (2, 2), SUM), 4), 1)
@example((BlockReduction(5, 9, 1, S5, (2, 2), MAXIMUM), 8), 1)  # one beat of blocks in a row, and a beat that has none
@example((BlockReduction(6, 16, 1, S5, (3, 4), SUM), 8), 1)  # registers in the tree
@example((BlockReduction(2, 17, 1, S5, (2, 8), SUM), 8), 1)
def test_values_and_cycles(case: tuple[BlockReduction, int], seed: int) -> None:
    check(*case, seed)


@settings(max_examples=80)
@given(cases(), st.sampled_from(PATTERNS))
def test_every_cycle(case: tuple[BlockReduction, int], pattern: tuple[float, float]) -> None:
    spec, pixels = case
    component = spec.create(pixels=pixels)
    cycles = 40 + 5 * beats_of(spec, pixels)[0].beats_per_frame(spec.height)
    assert first_difference(component, component.beat_model(), cycles, *pattern) is None


@settings(max_examples=200)
@given(cases())
def test_it_is_windows_that_do_not_overlap(case: tuple[BlockReduction, int]) -> None:
    spec, _ = case
    windows = Windows(spec.height, spec.width, spec.channels, spec.input_format, spec.block, spec.block)
    whole = WindowReduction(spec.input_format, spec.channels, spec.block[0] * spec.block[1], spec.reduction)
    x = random_input(spec, spec.height * spec.width, 1)
    assert spec.compute(x).tolist() == whole.compute(windows.compute(x)).tolist()
    assert spec.output_size == windows.output_size
    assert spec.output_beat == whole.output_beat


def test_compute_against_a_loop() -> None:
    spec = BlockReduction(5, 7, 2, S5, (2, 3), MAXIMUM)
    x = random_input(spec, 35, 3)
    image = x.reshape(-1, 5, 7, 2)
    for k, oracle in ((MAXIMUM, max), (SUM, sum)):
        expected = [
            [
                [oracle(frame[2 * r : 2 * r + 2, 3 * c : 3 * c + 3, lane].ravel().tolist()) for lane in range(2)]
                for r in range(2)
                for c in range(2)
            ]
            for frame in image
        ]
        assert BlockReduction(5, 7, 2, S5, (2, 3), k).compute(x).tolist() == expected


@pytest.mark.parametrize("reduction", Reduction)
@pytest.mark.parametrize("format", [*FORMATS, Format(False, 7), Format(True, 8), Format(True, 33)])
def test_every_format(format: Format, reduction: Reduction) -> None:
    check_operator(BlockReduction(6, 7, 2, format, (3, 2), reduction), 42)


@pytest.mark.parametrize("reduction", Reduction)
def test_the_largest_numbers_do_not_overflow(reduction: Reduction) -> None:
    spec = BlockReduction(4, 4, 1, S5, (2, 2), reduction)
    for value in (S5.minimum, S5.maximum):
        check_operator(spec, 16, x=np.full((2, 16, 1), value))


@settings(max_examples=200)
@given(cases())
def test_it_takes_a_beat_in_every_cycle(case: tuple[BlockReduction, int]) -> None:
    """The component accepts a beat in every cycle, and the last block leaves ``latency`` cycles after its last pixel
    came.
    """
    spec, pixels = case
    arriving, leaving = beats_of(spec, pixels)
    component = spec.create(pixels=pixels)
    beats, (rows, columns) = arriving.beats_per_frame(spec.height), spec.output_size
    entry, exit = trace_chain([component.beat_model()], [(0, beats), (1, leaving.beats_per_frame(rows))])
    assert (entry.last_cycle, exit.interval_cycles) == (beats - 1, beats)
    last_row, last_column = rows * spec.block[0] - 1, columns * spec.block[1] - 1
    assert exit.last_cycle == last_row * arriving.beats_per_row + last_column // pixels + component.latency
    assert component.latency == (1 if component.together < 3 else 2)


def test_what_create_is_told() -> None:
    spec = BlockReduction(5, 13, 3, U4, (2, 2), SUM)
    assert [spec.pixels_out(pixels) for pixels in (1, 2, 3, 4, 8)] == [1, 1, None, 2, 4]
    component = spec.create(pixels=4)
    assert (component.input_beat, component.output_beat) == (Beat(U4, 4 * 3), Beat(Format(False, 6), 2 * 3))
    assert (spec.create().input_beat, spec.create().output_beat) == (spec.input_beat, spec.output_beat)
    assert spec.for_pixels(3, surplus=True) is None
    wide = spec.for_pixels(8, surplus=True)
    assert wide is not None
    assert (wide.pixels, wide.in_order) == (4, False)
    assert wide.create().output_beat.lanes == 4 * 3


def test_the_memory_holds_no_more_than_it_must() -> None:
    def stored(*size: int, block: tuple[int, int], pixels: int = 1) -> tuple[Beat | None, int]:
        component = BlockReduction(*size, 3, U4, block, SUM).create(pixels=pixels)
        return component.stored, component.columns.blocks

    assert stored(6, 7, block=(3, 2)) == (Beat(Format(False, 6), 3), 3)  # of four pixels, three blocks
    assert stored(6, 7, block=(2, 2), pixels=4) == (Beat(Format(False, 5), 6), 2)
    assert stored(6, 3, block=(2, 2))[0] is None
    assert stored(6, 8, block=(1, 2)) == (None, 1)
    assert Stretch(7, 3, 2).period == Stretch(7, 3, 2)
    assert Stretch(6, 3, 2).period == Stretch(2, 1, 2)


def test_impossible_blocks_are_refused() -> None:
    with pytest.raises(ValueError, match="block must fit into the image of 2×3, not 3×2"):
        BlockReduction(2, 3, 1, U4, (3, 2), MAXIMUM)
    with pytest.raises(ValueError, match="block must be at least 1×1, not 0×2"):
        BlockReduction(2, 3, 1, U4, (0, 2), MAXIMUM)
    for pixels in (0, 3, -2):
        with pytest.raises(ValueError, match=f"pixels must be 1 or a multiple of the block's width 2, not {pixels}"):
            BlockReduction(2, 3, 1, U4, (2, 2), MAXIMUM).create(pixels=pixels)


# The faults that one would make; each is planted in a component that is otherwise right.


class Smallest(BlockReductionComponent):
    def _joined(self, starts: Value, pixel: Value, other: Value) -> Value:
        return super()._joined(starts, other, pixel)


class NeverStarts(BlockReductionComponent):
    def _joined(self, starts: Value, pixel: Value, other: Value) -> Value:
        return super()._joined(Value.cast(0), pixel, other)


class NoSurplus(BlockReductionComponent):
    """Pixels beyond the last block are taken for another one's."""

    def __init__(self, spec: BlockReduction, pixels: int = 1) -> None:
        super().__init__(spec, pixels)
        self.columns = Stretch(self.columns.blocks * self.columns.size, self.columns.blocks, self.columns.size)


class LateTimingModel(BlockReductionComponent):
    def beat_model(self) -> BeatModel:
        return BlockReductionModel(self.latency + 1, self.rows, self.columns)


@pytest.mark.parametrize("fault", [Smallest, NeverStarts, NoSurplus, LateTimingModel])
def test_faults_are_found(fault: type[BlockReductionComponent]) -> None:
    spec = BlockReduction(5, 7, 2, S5, (2, 2), MAXIMUM)
    check(spec, 1, 3)
    with pytest.raises(AssertionError):
        check(spec, 1, 3, fault)
