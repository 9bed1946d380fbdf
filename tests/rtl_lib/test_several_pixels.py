"""Several pixels per beat: the integers of ``compute`` in every lane that counts, in the cycles of the timing models,
whatever is in the lanes that do not.
"""

from __future__ import annotations

import numpy as np
import pytest
from contract import FRAMES, STALLS, check_cycles, check_operator, random_input
from hypothesis import example, given, settings
from hypothesis import strategies as st
from stream_bench import run_component
from test_timing_models_under_stalls import PATTERNS, first_difference

from rtl_lib.core.formats import Format
from rtl_lib.core.replicate import SideBySide, side_by_side
from rtl_lib.core.stream import Beat, Chain, StreamComponent
from rtl_lib.core.trace import trace_chain
from rtl_lib.elementwise.requantize import Requantize
from rtl_lib.image.reduction import Reduction, WindowReduction
from rtl_lib.image.window_schedule import WindowSchedule
from rtl_lib.image.windows import Padding, Windows
from rtl_lib.image.windows_component import WindowsComponent
from rtl_lib.streams.master_slave_stage import MasterSlaveStage
from rtl_lib.streams.pixel_rows import PixelRows, UnpackPixels

U4, S5 = Format(False, 4), Format(True, 5)


# windows ---------------------------------------------------------------------------------------------------------


@st.composite
def cases(draw: st.DrawFn, largest: int = 9) -> tuple[Windows, int]:
    """Windows, and pixels per beat."""
    pixels = draw(st.sampled_from([1, 2, 3, 4, 4, 6, 8]))
    size = draw(st.tuples(st.integers(1, 6), st.integers(1, largest)))
    stride = draw(st.integers(1, 3)), draw(st.sampled_from([s for s in (1, 2, 3, 4) if pixels == 1 or pixels % s == 0]))
    kind = draw(st.sampled_from(["valid", "same", "any"]))
    kernel = tuple(draw(st.integers(1, min(5, extent) if kind == "valid" else 5)) for extent in size)
    padding = Padding()
    if kind == "same":
        padding = Padding.same(size, kernel, stride)
    if kind == "any":
        # With so much on each side that a window fits; more than any layer asks for.
        (top, bottom), (left, right) = (
            draw(st.tuples(*2 * [st.integers(0, k - 1)]).filter(lambda pads, k=k, n=n: n + sum(pads) >= k))
            for k, n in zip(kernel, size, strict=True)
        )
        padding = Padding(top, bottom, left, right)
    channels = draw(st.integers(1, 2))
    fill = draw(st.sampled_from([0, 5, tuple(range(9, 9 + channels))]))
    return Windows(*size, channels, U4, kernel, stride, padding, fill), pixels


def with_garbage(rows: PixelRows, height: int, x: np.ndarray, seed: int) -> np.ndarray:
    """Return the beats on the wire, with anything in the surplus lanes."""
    beats = rows.pack(x)
    garbage = np.random.default_rng(seed).integers(0, 16, beats.shape)
    return np.where(np.repeat(rows.counted(height), x.shape[2], axis=1), beats, garbage)


def check_windows(spec: Windows, pixels: int, seed: int, component: WindowsComponent | None = None) -> None:
    """Check windows against their spec; raise ``AssertionError`` at the first difference."""
    arriving, leaving = PixelRows(spec.width, pixels), PixelRows(spec.output_size[1], spec.pixels_out(pixels) or 0)
    x = random_input(spec, spec.input_pixels, seed)
    beats = with_garbage(arriving, spec.height, x, seed)
    output_beats = leaving.beats_per_frame(spec.output_size[0])
    for source, sink in STALLS:
        run = run_component(
            component or spec.create(pixels=pixels),
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
            check_cycles(component or spec.create(pixels=pixels), beats.shape[1], output_beats, run)


@settings(max_examples=60)
@given(cases(), st.integers(0, 99))
@example((Windows(3, 7, 1, U4, (3, 3), (1, 1), Padding(1, 1, 1, 1), 5), 4), 1)  # width no multiple
@example((Windows(4, 8, 2, U4, (2, 2), (2, 2)), 4), 1)  # pooling
@example(
    (Windows(3, 2, 1, U4, (1, 5), (1, 1), Padding(0, 0, 4, 4), 5), 4), 1
)  # narrower than a beat and than the kernel
@example((Windows(2, 6, 1, U4, (1, 3), (1, 1), Padding(0, 0, 2, 2), 5), 1), 1)  # windows in every step of a long tail
@example((Windows(5, 4, 1, U4, (3, 3), (1, 1), Padding(1, 1, 1, 1), 5), 4), 1)  # a row is one beat
@example((Windows(2, 2, 1, U4, (1, 5), (1, 1), Padding(0, 0, 0, 4), 5), 2), 1)  # it comes along, or starts over
# The next frame's first windows begin above the last ones of this frame.
@example((Windows(2, 1, 1, U4, (5, 1), (1, 1), Padding(4, 4, 0, 0), 5), 2), 1)
@example((Windows(2, 4, 1, U4, (5, 2), (1, 1), Padding(4, 3, 0, 1), 5), 1), 1)
def test_windows(case: tuple[Windows, int], seed: int) -> None:
    check_windows(*case, seed)


@settings(max_examples=60)
@given(cases(), st.sampled_from(PATTERNS))
def test_every_cycle_of_windows(case: tuple[Windows, int], pattern: tuple[float, float]) -> None:
    spec, pixels = case
    component = spec.create(pixels=pixels)
    cycles = 40 + 5 * spec.height * component.schedule.words
    assert first_difference(component, component.beat_model(), cycles, *pattern) is None


def interval(spec: Windows, pixels: int) -> int:
    s = WindowSchedule(spec.height, spec.width, spec.kernel, spec.stride, spec.padding, pixels)
    model = spec.create(pixels=pixels).beat_model()
    *_, exit = trace_chain([model], [(0, s.height * s.words), (1, s.output_size[0] * s.output_words)])
    return exit.interval_cycles


@settings(max_examples=300)
@given(cases(largest=20))
def test_the_interval_is_the_number_of_input_beats(case: tuple[Windows, int]) -> None:
    """The interval is the number of input beats for images at least as wide and high as the kernel, unless padding on
    both sides together reaches its size.
    """
    spec, pixels = case
    pad, (rows, columns) = spec.padding, spec.kernel
    beats = PixelRows(spec.width, pixels).beats_per_frame(spec.height)
    usual = pad.top + pad.bottom < rows and pad.left + pad.right < columns
    if usual and spec.width >= columns and spec.height >= rows:
        assert interval(spec, pixels) == beats
    else:
        assert interval(spec, pixels) >= beats


@settings(max_examples=100)
@given(cases(largest=12))
def test_windows_leave_after_the_word_with_their_last_pixel(case: tuple[Windows, int]) -> None:
    """Word j, counted from the image's left edge, and three cycles later; what is right of the frame comes at once."""
    spec, pixels = case
    component = spec.create(pixels=pixels)
    s, stride = component.schedule, spec.stride[1]
    if stride > pixels:
        return
    at = [step for step in range(s.row_steps) if s.gives_windows(step)]
    last = [j * pixels - spec.padding.left + (pixels - stride) + spec.kernel[1] - 1 for j in range(s.output_words)]
    assert at == [column // pixels for column in last]


def test_what_create_is_told() -> None:
    spec = Windows(4, 8, 1, U4, (3, 3), (2, 2), Padding(0, 1, 0, 1))
    assert [spec.pixels_out(pixels) for pixels in (1, 2, 3, 4, 8)] == [1, 1, None, 2, 4]
    component = spec.create(pixels=4)
    assert (component.input_beat, component.output_beat) == (Beat(U4, 4), Beat(U4, 2 * 9))
    assert (spec.create().input_beat, spec.create().output_beat) == (spec.input_beat, spec.output_beat)
    with pytest.raises(ValueError, match="pixels must be 1 or a multiple of the column stride 2, not 3"):
        spec.create(pixels=3)
    with pytest.raises(ValueError, match="pixels must be 1 or a multiple of the column stride 2, not 0"):
        spec.create(pixels=0)


# The faults of windows that one would make; each is planted in a schedule that is otherwise right.


class SurplusCounts(WindowSchedule):
    """The surplus pixels of a row's last word are taken for the frame's."""

    def columns_outside(self, held: int) -> tuple[bool, bool]:
        return super().columns_outside(held)[0], False


class NothingOnTheLeft(WindowSchedule):
    def columns_outside(self, held: int) -> tuple[bool, bool]:
        return False, super().columns_outside(held)[1]


class WordTooEarly(WindowSchedule):
    @property
    def held_columns(self) -> int:  # type: ignore[override]
        return super().held_columns + 1


@pytest.mark.parametrize("fault", [SurplusCounts, NothingOnTheLeft, WordTooEarly])
def test_faults_are_found(fault: type[WindowSchedule]) -> None:
    spec = Windows(4, 7, 1, U4, (3, 3), (1, 1), Padding(1, 1, 1, 1), 5)

    def component(kind: type[WindowSchedule]) -> WindowsComponent:
        schedule = kind(spec.height, spec.width, spec.kernel, spec.stride, spec.padding, 4)
        return WindowsComponent(schedule, spec.format, spec.fills.tolist())

    check_windows(spec, 4, 3, component(WindowSchedule))
    with pytest.raises(AssertionError):
        check_windows(spec, 4, 3, component(fault))


# rows of pixels --------------------------------------------------------------------------------------------------


def test_pixels_on_the_wire() -> None:
    rows = PixelRows(5, 2)
    x = np.arange(1, 21).reshape(1, 10, 2)  # two rows, two channels
    beats = rows.pack(x)
    assert beats.tolist() == [
        [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 0, 0], [11, 12, 13, 14], [15, 16, 17, 18], [19, 20, 0, 0]]
    ]
    assert rows.unpack(beats).tolist() == x.tolist()
    assert (rows.beats_per_row, rows.last_pixels, rows.beats_per_frame(2)) == (3, 1, 6)
    assert rows.counted(2).tolist() == 2 * [[True, True], [True, True], [True, False]]
    with pytest.raises(ValueError, match="width must be at least 1, not 0"):
        PixelRows(0, 2)
    with pytest.raises(ValueError, match="pixels must be at least 1, not 0"):
        UnpackPixels(U4, 1, 3, 0)


@settings(max_examples=100)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 3), st.integers(1, 3))
def test_unpack_undoes_pack(width: int, pixels: int, height: int, channels: int) -> None:
    rows = PixelRows(width, pixels)
    x = np.random.default_rng(width).integers(1, 16, (2, height * width, channels))
    beats = rows.pack(x)
    assert beats.shape[1:] == (rows.beats_per_frame(height), pixels * channels)
    assert rows.unpack(beats).tolist() == x.tolist()
    assert np.array_equal((beats != 0).all(axis=0), np.repeat(rows.counted(height), channels, axis=1))


@settings(max_examples=25)
@given(st.integers(1, 9), st.sampled_from([1, 2, 3, 4, 8]), st.integers(1, 2), st.sampled_from(PATTERNS))
def test_unpack_pixels(width: int, pixels: int, channels: int, pattern: tuple[float, float]) -> None:
    spec = UnpackPixels(S5, channels, width, pixels)
    check_operator(spec, 2 * spec.rows.beats_per_row, width)  # any integers in the surplus lanes
    component = spec.create()
    assert first_difference(component, component.beat_model(), 150, *pattern) is None


# replicas --------------------------------------------------------------------------------------------------------


class Copies:
    """An operator in copies, on the slices of a beat."""

    def __init__(self, part, count: int) -> None:  # type: ignore[no-untyped-def]
        self.part, self.count = part, count
        self.input_beat = Beat(part.input_beat.format, count * part.input_beat.lanes)
        self.output_beat = Beat(part.output_beat.format, count * part.output_beat.lanes)

    def compute(self, x: np.ndarray) -> np.ndarray:
        return np.concatenate([self.part.compute(slice) for slice in np.split(x, self.count, axis=2)], axis=2)

    def create(self) -> StreamComponent:
        return side_by_side([self.part.create() for _ in range(self.count)])


class Chained:
    """Two operators, with a stage between them."""

    first = Requantize(S5, U4, np.array([3, 5, 2, 7]), *2 * [np.array([2, 1, 0, 3])], 0, 15)
    second = WindowReduction(U4, 2, 2, Reduction.SUM)
    input_beat, output_beat = first.input_beat, second.output_beat

    def compute(self, x: np.ndarray) -> np.ndarray:
        return self.second.compute(self.first.compute(x))

    def create(self) -> Chain:
        stage = MasterSlaveStage(self.first.output_beat)
        return Chain([("first", self.first.create()), ("stage", stage), ("second", self.second.create())])


SUM = WindowReduction(S5, 2, 3, Reduction.SUM)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("part", [SUM, Chained(), UnpackPixels(S5, 1, 3, 2)], ids=["one", "chain", "serializer"])
def test_side_by_side(part, count: int) -> None:  # type: ignore[no-untyped-def]
    check_operator(Copies(part, count), 12)


def test_side_by_side_is_what_its_copies_are() -> None:
    together = side_by_side([SUM.create(), SUM.create()])
    assert isinstance(together, SideBySide)
    assert together.is_pipeline
    assert not side_by_side([UnpackPixels(S5, 1, 3, 2).create() for _ in range(2)]).is_pipeline
    assert together.components("sum") == [("sum", together)]
    chain = side_by_side([Chained().create(), Chained().create()])
    assert [name for name, _ in chain.components("")] == ["first", "stage", "second"]
    assert all(isinstance(link, SideBySide) for _, link in chain.components(""))
    assert [link.is_pipeline for _, link in chain.components("")] == [True, False, True]


def test_copies_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="copies must be at least one component, not none"):
        side_by_side([])
    with pytest.raises(ValueError, match=r"copies must be identical, not WindowReduction\w* from .* and "):
        side_by_side([SUM.create(), WindowReduction(S5, 2, 4, Reduction.SUM).create()])
    with pytest.raises(ValueError, match=r"copies must be chains of the same parts, not \('first', .* and \('part',\)"):
        side_by_side([Chained().create(), SUM.create()])
