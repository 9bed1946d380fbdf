"""Concatenation: along channels, rows and columns, with one and several pixels in a beat."""

from __future__ import annotations

import numpy as np
import pytest
from branch_bench import check_join, random_inputs, run_branching

from rtl_lib.core.branch_timing import SequencerModel
from rtl_lib.core.formats import Format
from rtl_lib.elementwise.concatenate import Axis, ConcatenateBeats, ConcatenateChannels, common_format
from rtl_lib.streams.pixel_rows import PixelRows

U1, U4, S4, S5 = Format(False, 1), Format(False, 4), Format(True, 4), Format(True, 5)


@pytest.mark.parametrize(
    ("formats", "common"), [((U4, U4), U4), ((U4, S4), S5), ((S4, S5), S5), ((U1, Format(True, 1)), Format(True, 2))]
)
def test_the_format_holds_the_numbers_of_all(formats: tuple[Format, ...], common: Format) -> None:
    assert common_format(formats) == common


CHANNELS = [((U4, S4), (2, 1)), ((U4, U4, S5), (1, 3, 2)), ((S4,), (2,))]


@pytest.mark.parametrize(("formats", "lanes"), CHANNELS)
def test_channels(formats: tuple[Format, ...], lanes: tuple[int, ...]) -> None:
    spec = ConcatenateChannels(input_formats=formats, lanes=lanes)
    check_join(spec, [7] * len(lanes))
    x = random_inputs(spec, [7] * len(lanes), 1)
    found = spec.compute(*x)
    for k, of_input in enumerate(x):
        first = sum(lanes[:k])
        assert found[..., first : first + lanes[k]].tolist() == of_input.tolist()


@pytest.mark.parametrize("pixels", [2, 3])
def test_channels_of_several_pixels(pixels: int) -> None:
    spec = ConcatenateChannels(input_formats=(U4, S4), lanes=(2, 1))
    x = random_inputs(spec, [6, 6], 1)
    wide = spec.for_pixels(pixels, surplus=False)
    assert wide is not None
    assert wide.pixels == pixels
    inputs = [of_input.reshape(-1, pixels * of_input.shape[2]) for of_input in x]
    run = run_branching(wide.create(), inputs, source_pauses=(0.2, 0.5))
    assert run.outputs[0].reshape(-1).tolist() == spec.compute(*x).reshape(-1).tolist()


BEATS = [
    ConcatenateBeats(input_formats=(U4, S4), lanes=2, sizes=((2, 3), (1, 3)), axis=Axis.ROWS),
    ConcatenateBeats(input_formats=(S4, S4, U4), lanes=1, sizes=((1, 2), (2, 2), (1, 2)), axis=Axis.ROWS),
    ConcatenateBeats(input_formats=(U4, S4), lanes=2, sizes=((2, 3), (2, 1)), axis=Axis.COLUMNS),
    ConcatenateBeats(input_formats=(S4, S5, U4), lanes=1, sizes=((3, 2), (3, 1), (3, 2)), axis=Axis.COLUMNS),
    ConcatenateBeats(input_formats=(S4, S4), lanes=3, sizes=((1, 1), (1, 1)), axis=Axis.ROWS),
]


@pytest.mark.parametrize("spec", BEATS, ids=lambda spec: f"{spec.axis.value}_{len(spec.sizes)}")
def test_beats(spec: ConcatenateBeats) -> None:
    pixels = [rows * columns for rows, columns in spec.sizes]
    check_join(spec, pixels)
    x = random_inputs(spec, pixels, 2)
    rows, columns = spec.output_size
    found = spec.compute(*x).reshape(len(x[0]), rows, columns, spec.lanes)
    row = column = 0
    for (high, wide), of_input in zip(spec.sizes, x, strict=True):
        image = of_input.reshape(-1, high, wide, spec.lanes)
        assert found[:, row : row + high, column : column + wide].tolist() == image.tolist()
        row, column = (row + high, 0) if spec.axis is Axis.ROWS else (0, column + wide)


@pytest.mark.parametrize(
    ("sizes", "axis", "pixels"),
    [
        (((2, 5), (1, 5)), Axis.ROWS, 2),
        (((2, 4), (2, 2)), Axis.COLUMNS, 2),
        (((2, 4), (2, 3)), Axis.COLUMNS, 2),
        (((2, 3), (2, 6), (2, 2)), Axis.COLUMNS, 3),
    ],
)
def test_beats_of_several_pixels(sizes: tuple[tuple[int, int], ...], axis: Axis, pixels: int) -> None:
    spec = ConcatenateBeats(input_formats=(U4,) * len(sizes), lanes=2, sizes=sizes, axis=axis)
    x = random_inputs(spec, [rows * columns for rows, columns in sizes], 3)
    wide = spec.for_pixels(pixels, surplus=True)
    assert wide is not None
    inputs = [PixelRows(columns, pixels).pack(of_input) for (_, columns), of_input in zip(sizes, x, strict=True)]
    run = run_branching(
        wide.create(), [beats.reshape(-1, beats.shape[2]) for beats in inputs], source_pauses=(0.4, 0.1)
    )
    whole = PixelRows(spec.output_size[1], pixels)
    found = whole.unpack(run.outputs[0].reshape(len(x[0]), -1, 2 * pixels))
    assert found.tolist() == spec.compute(*x).tolist()


def test_columns_that_would_start_within_a_beat_need_one_pixel_in_a_beat() -> None:
    spec = ConcatenateBeats(input_formats=(U4, U4), lanes=1, sizes=((2, 3), (2, 4)), axis=Axis.COLUMNS)
    assert spec.for_pixels(2, surplus=False) is None
    assert spec.for_pixels(3, surplus=False) is not None


def test_a_wrong_timing_model_is_found() -> None:
    component = BEATS[0].create()
    x = np.zeros((18, 2), int)
    with pytest.raises(AssertionError, match="cycle"):
        run_branching(component, [x, x[:9]], model=SequencerModel(1, (6, 2)))


def test_impossible_concatenations_are_refused() -> None:
    with pytest.raises(ValueError, match="lanes must be 2 numbers, one per input"):
        ConcatenateChannels(input_formats=(U4, U4), lanes=(1,))
    with pytest.raises(ValueError, match="sizes must be 1 pairs, one per input"):
        ConcatenateBeats(input_formats=(U4,), lanes=1, sizes=(), axis=Axis.ROWS)
    with pytest.raises(ValueError, match="all inputs must have the same number of columns"):
        ConcatenateBeats(input_formats=(U4, U4), lanes=1, sizes=((2, 3), (2, 4)), axis=Axis.ROWS)
    with pytest.raises(ValueError, match="all inputs must have the same number of rows"):
        ConcatenateBeats(input_formats=(U4, U4), lanes=1, sizes=((2, 3), (1, 3)), axis=Axis.COLUMNS)
