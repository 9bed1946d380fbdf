"""A second, independent integer model: configuration files → outputs, one number at a time, in exact fractions.

It is written from docs/arithmetic.md and imports neither dnn2fpga nor rtl_lib, so that it can disagree with them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import yaml

Image = dict[tuple[int, ...], int]  # position → integer
Inside = list[tuple[int, int, int, int]]  # kernel row, kernel column, row, column of the pixels inside the frame


def run(folder: Path, frame: np.ndarray | dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every tensor for one quantized frame, by the name of the layer that produces it.

    :param frame: of the only input, or of each input by its name.
    """
    model = yaml.safe_load((folder / "model.yaml").read_text(encoding="utf-8"))
    with np.load(folder / "weights.npz") as archive:
        arrays = {name: archive[name].tolist() for name in archive.files}
    frames = frame if isinstance(frame, dict) else {next(iter(model["inputs"])): frame}
    known: dict[str, tuple[dict[str, Any], Image]] = {
        name: (tensor, {p: int(frames[name][p]) for p in product(*map(range, frames[name].shape))})
        for name, tensor in model["inputs"].items()
    }
    results = {}
    for layer in model["layers"]:
        prefix = layer["name"] + "/"
        own = {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}
        read = (part for name in layer["inputs"] for part in known[name])  # a tensor and its values, for each input
        values = KINDS[layer["kind"]](layer | own, *read)
        tensor = layer["output"]
        known[layer["name"]] = tensor, values
        low, high = limits(tensor)
        assert set(values) == set(product(*map(range, tensor["shape"])))
        assert all(low <= value <= high for value in values.values())
        results[layer["name"]] = np.array([values[p] for p in sorted(values)]).reshape(tensor["shape"])
    return results


def limits(tensor: dict[str, Any]) -> tuple[int, int]:
    n = tensor["width"]
    return (-(2 ** (n - 1)), 2 ** (n - 1) - 1) if tensor["signed"] else (0, 2**n - 1)


def rounded(value: Fraction, how: str) -> int:
    if how == "half_even":
        return round(value)  # Python's own rule
    return math.floor(value + Fraction(1, 2)) if how == "half_up" else math.floor(value)


def fitted(value: int, low: int, high: int, how: str) -> int:
    if how == "wrap":
        return (value - low) % (high - low + 1) + low
    if how == "saturate_symmetric" and low == -high - 1:
        low = -high
    return sorted((low, value, high))[1]


def of_lane(value: Any, lane: int) -> Any:
    """Return the number of a lane: one for all lanes, or one per lane."""
    return value[lane] if isinstance(value, list) else value


def lanes_of(layer: dict[str, Any]) -> list[tuple[int, int]]:
    """Every lane of the result, with the accumulator that it is made from."""
    return list(enumerate(layer.get("sources", range(len(layer["multiplier"])))))


def requantized(layer: dict[str, Any], lane: int, total: int) -> int:
    line = "negative_" if total < 0 and "negative_multiplier" in layer else ""
    multiplier, offset = layer[f"{line}multiplier"][lane], layer[f"{line}offset"][lane]
    return in_bounds(layer, lane, Fraction(total * multiplier + offset, 2 ** layer["shift"][lane]))


def in_bounds(layer: dict[str, Any], lane: int, exact: Fraction) -> int:
    low, high, how = of_lane(layer["low"], lane), of_lane(layer["high"], lane), layer["arithmetic"]
    return fitted(rounded(exact, how["rounding"]), low, high, how["overflow"])


def binary32(value: Fraction) -> Fraction:
    """The nearest number of binary32, ties to even; 0 for what is below the smallest normal number."""
    size = abs(value)
    if size < Fraction(1, 2**126):
        return Fraction(0)
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    if size < Fraction(2) ** exponent:
        exponent -= 1
    step = Fraction(2) ** (exponent - 23)
    nearest = round(value / step) * step  # Python's own rule for ties
    assert abs(nearest) < 2**128
    return nearest


def in_binary32(layer: dict[str, Any], output: int, terms: list[tuple[int, float]]) -> int:
    """The bias, then ``(x - zero) · weight`` after the other, each product and each sum rounded."""
    total = binary32(Fraction(layer["bias"][output]))
    for difference, weight in terms:
        total = binary32(total + binary32(difference * binary32(Fraction(weight))))
    how, zero = layer["arithmetic"], of_lane(layer["output"]["zero_point"], output)
    low, high = of_lane(layer["low"], output), of_lane(layer["high"], output)
    return fitted(rounded(total, how["rounding"]) + zero, low, high, how["overflow"])


def positions(size: int, kernel: int, stride: int, padding: str | list[int], axis: int) -> list[int]:
    """The first row (or column) of every window."""
    if padding == "same":
        count = math.ceil(size / stride)
        before = max((count - 1) * stride + kernel - size, 0) // 2  # TensorFlow: the odd one comes last
        return [k * stride - before for k in range(count)]
    before, behind = (0, 0) if padding == "valid" else padding[2 * axis : 2 * axis + 2]
    return list(range(-before, size + behind - kernel + 1, stride))


def windows(layer: dict[str, Any], tensor: dict[str, Any], kernel: tuple[int, int]) -> list[tuple[int, int, Inside]]:
    """Return for every output pixel its place, and the pixels inside the frame."""
    rows, columns, _ = tensor["shape"]
    found = []
    for r, top in enumerate(positions(rows, kernel[0], layer["strides"][0], layer["padding"], 0)):
        for c, left in enumerate(positions(columns, kernel[1], layer["strides"][1], layer["padding"], 1)):
            inside = [
                (i, j, top + i, left + j)
                for i in range(kernel[0])
                for j in range(kernel[1])
                if 0 <= top + i < rows and 0 <= left + j < columns
            ]
            found.append((r, c, inside))
    return found


def conv2d(layer: dict[str, Any], tensor: dict[str, Any], x: Image) -> Image:
    w, y = layer["weights"], {}
    size, channels = (len(w), len(w[0])), range(tensor["shape"][2])
    for r, c, inside in windows(layer, tensor, size):
        # Pixels outside the frame are the zero point.
        window = {(i, j, k): of_lane(tensor["zero_point"], k) for i, j, k in product(*map(range, size), channels)}
        window |= {(i, j, k): x[row, column, k] for i, j, row, column in inside for k in channels}
        for lane, f in lanes_of(layer):
            total = layer["bias"][f] + sum(w[i][j][k][f] * value for (i, j, k), value in window.items())
            y[r, c, lane] = requantized(layer, lane, total)
    return y


def conv2d_binary32(layer: dict[str, Any], tensor: dict[str, Any], x: Image) -> Image:
    w, y = layer["weights"], {}
    for r, c, inside in windows(layer, tensor, (len(w), len(w[0]))):
        for f in range(len(layer["bias"])):
            # A pixel outside the frame would add 0, which changes no sum.
            terms = [
                (x[row, column, k] - zero_of(layer, k), w[i][j][k][f])
                for i, j, row, column in inside
                for k in range(tensor["shape"][2])
            ]
            y[r, c, f] = in_binary32(layer, f, terms)
    return y


def depthwise_conv2d(layer: dict[str, Any], tensor: dict[str, Any], x: Image) -> Image:
    w, channels, y = layer["weights"], tensor["shape"][2], {}
    size = (len(w), len(w[0]))
    for r, c, inside in windows(layer, tensor, size):
        for lane, f in lanes_of(layer):
            k = f * channels // len(layer["bias"])  # the one channel that it reads
            window = dict.fromkeys(product(*map(range, size)), of_lane(tensor["zero_point"], k))
            window |= {(i, j): x[row, column, k] for i, j, row, column in inside}
            total = layer["bias"][f] + sum(w[i][j][f] * value for (i, j), value in window.items())
            y[r, c, lane] = requantized(layer, lane, total)
    return y


def depthwise_conv2d_binary32(layer: dict[str, Any], tensor: dict[str, Any], x: Image) -> Image:
    w, channels, y = layer["weights"], tensor["shape"][2], {}
    for r, c, inside in windows(layer, tensor, (len(w), len(w[0]))):
        for f in range(len(layer["bias"])):
            k = f * channels // len(layer["bias"])
            terms = [(x[row, column, k] - zero_of(layer, k), w[i][j][f]) for i, j, row, column in inside]
            y[r, c, f] = in_binary32(layer, f, terms)
    return y


def zero_of(layer: dict[str, Any], index: int) -> int:
    """The zero point of a number of the input; they repeat every beat."""
    return layer["zero"][index % len(layer["zero"])]


def dense(layer: dict[str, Any], tensor: dict[str, Any], x: Image) -> Image:
    w, y = layer["weights"], {}
    for place in product(*map(range, tensor["shape"][:-1])):
        for lane, f in lanes_of(layer):
            total = sum(w[k][f] * x[*place, k] for k in range(len(w))) + layer["bias"][f]
            y[*place, lane] = requantized(layer, lane, total)
    return y


def dense_binary32(layer: dict[str, Any], tensor: dict[str, Any], x: Image) -> Image:
    w, y = layer["weights"], {}
    for place in product(*map(range, tensor["shape"][:-1])):
        for f in range(len(layer["bias"])):
            terms = [(x[*place, k] - zero_of(layer, k), w[k][f]) for k in range(len(w))]
            y[*place, f] = in_binary32(layer, f, terms)
    return y


def pools(layer: dict[str, Any], tensor: dict[str, Any], x: Image) -> Iterator[tuple[int, int, int, list[int]]]:
    """For every output: its place, and the numbers that count."""
    height, width = layer["pool_size"]
    for r, c, inside in windows(layer, tensor, layer["pool_size"]):
        for k in range(tensor["shape"][2]):
            outside = (height * width - len(inside)) * layer["count_include_pad"]
            yield (
                r,
                c,
                k,
                [x[row, column, k] for _, _, row, column in inside] + outside * [of_lane(tensor["zero_point"], k)],
            )


def max_pooling(layer: dict[str, Any], tensor: dict[str, Any], x: Image) -> Image:
    return {(r, c, k): max(numbers) for r, c, k, numbers in pools(layer, tensor, x)}


def average_pooling(layer: dict[str, Any], tensor: dict[str, Any], x: Image) -> Image:
    low, high = limits(layer["output"])
    how, y = layer["arithmetic"], {}
    for r, c, k, numbers in pools(layer, tensor, x):
        exact = Fraction(sum(numbers) * layer["multiplier"][r][c], 2 ** layer["shift"])
        y[r, c, k] = fitted(rounded(exact, how["rounding"]), low, high, how["overflow"])
    return y


def mean_pooling(layer: dict[str, Any], tensor: dict[str, Any], x: Image) -> Image:
    found = list(pools(layer, tensor, x))
    parts = math.lcm(*(len(numbers) for *_, numbers in found))
    means = {(r, c, k): sum(numbers) * (parts // len(numbers)) for r, c, k, numbers in found}
    places = {place[:-1] for place in means}
    return {(*at, lane): requantized(layer, lane, means[*at, k]) for at in places for lane, k in lanes_of(layer)}


def global_average(layer: dict[str, Any], tensor: dict[str, Any], x: Image) -> Image:
    rows, columns, _ = tensor["shape"]
    front = (0, 0) if len(layer["output"]["shape"]) == 3 else ()
    return {
        (*front, lane): requantized(layer, lane, sum(x[r, c, k] for r in range(rows) for c in range(columns)))
        for lane, k in lanes_of(layer)
    }


def lane_wise(layer: dict[str, Any], tensor: dict[str, Any], x: Image) -> Image:
    """Clamp and affine: number ``i`` of a beat has the ``i``-th multiplier."""
    if "sources" in layer:
        places = {place[:-1] for place in x}
        return {(*at, lane): requantized(layer, lane, x[*at, k]) for at in places for lane, k in lanes_of(layer)}
    flat = [x[p] for p in sorted(x)]
    y = [requantized(layer, k % tensor["lanes"], value) for k, value in enumerate(flat)]
    return dict(zip(sorted(x), y, strict=True))


def select(layer: dict[str, Any], tensor: dict[str, Any], x: Image) -> Image:
    (low, high), sources = limits(layer["output"]), layer["sources"]
    places = {place[:-1] for place in x}
    return {(*at, lane): fitted(x[*at, k], low, high, "wrap") for at in places for lane, k in enumerate(sources)}


def table(layer: dict[str, Any], tensor: dict[str, Any], x: Image) -> Image:
    low, high = limits(tensor)
    each = isinstance(layer["table"][0], list)
    tables = layer["table"] if each else [layer["table"]] * tensor["lanes"]
    assert all(len(one) == high - low + 1 for one in tables)
    return {place: tables[k % tensor["lanes"]][x[place] - low] for k, place in enumerate(sorted(x))}


def thresholds(layer: dict[str, Any], tensor: dict[str, Any], x: Image) -> Image:
    def result(lane: int, value: int) -> int:
        return of_lane(layer["low"], lane) + sum(threshold <= value for threshold in layer["thresholds"][lane])

    return {place: result(k % tensor["lanes"], x[place]) for k, place in enumerate(sorted(x))}


def reshape(layer: dict[str, Any], tensor: dict[str, Any], x: Image) -> Image:
    return dict(zip(product(*map(range, layer["output"]["shape"])), (x[p] for p in sorted(x)), strict=True))


def weighted_sum(layer: dict[str, Any], *read: Any) -> Image:
    def total(lane: int, values: list[int]) -> Fraction:
        products = sum(m[lane] * value for m, value in zip(layer["multiplier"], values, strict=True))
        return Fraction(products + layer["offset"][lane], 2 ** layer["shift"][lane])

    return number_by_number(layer, read, total)


def extremum(layer: dict[str, Any], *read: Any) -> Image:
    def largest(lane: int, values: list[int]) -> Fraction:
        """Each input is brought to the output's scale before they are compared."""
        lanes = zip(layer["multiplier"], layer["offset"], values, strict=True)
        aligned = [Fraction(m[lane] * value + o[lane], 2 ** layer["shift"][lane]) for m, o, value in lanes]
        return {"maximum": max, "minimum": min}[layer["order"]](aligned)

    return number_by_number(layer, read, largest)


def number_by_number(
    layer: dict[str, Any], read: tuple[Any, ...], combined: Callable[[int, list[int]], Fraction]
) -> Image:
    lanes = layer["output"]["lanes"]
    assert all(tensor["lanes"] == lanes for tensor in read[::2])
    return {
        place: in_bounds(layer, k % lanes, combined(k % lanes, [x[place] for x in read[1::2]]))
        for k, place in enumerate(sorted(read[1]))
    }


def product_of_two(
    layer: dict[str, Any], tensor: dict[str, Any], x: Image, other: dict[str, Any], gate: Image
) -> Image:
    """A gate has one number per channel, for all pixels."""
    lanes, is_gate, y = tensor["lanes"], tensor["shape"] != other["shape"], {}
    of_channel = {place[-1]: value for place, value in gate.items()}
    for k, place in enumerate(sorted(x)):
        factor = of_channel[place[-1]] if is_gate else gate[place]
        zeros = [of_lane(one["zero_point"], k % lanes) for one in (tensor, other)]
        y[place] = requantized(layer, k % lanes, (x[place] - zeros[0]) * (factor - zeros[1]))
    return y


def concatenate(layer: dict[str, Any], *read: Any) -> Image:
    axis, start, y = layer["axis"], 0, {}
    for tensor, x in zip(read[::2], read[1::2], strict=True):
        for place, value in x.items():
            there = (*place[:axis], place[axis] + start, *place[axis + 1 :])
            assert meaning(layer["output"], there) == meaning(tensor, place)
            y[there] = value
        start += tensor["shape"][axis]
    return y


def meaning(tensor: dict[str, Any], place: tuple[int, ...]) -> tuple[float, int]:
    """The scale and the zero point of a number."""
    flat = 0
    for extent, index in zip(tensor["shape"], place, strict=True):
        flat = flat * extent + index
    lane = flat % tensor["lanes"]
    return of_lane(tensor["scale"], lane), of_lane(tensor["zero_point"], lane)


KINDS = {
    "conv2d": conv2d,
    "conv2d_binary32": conv2d_binary32,
    "depthwise_conv2d": depthwise_conv2d,
    "depthwise_conv2d_binary32": depthwise_conv2d_binary32,
    "dense": dense,
    "dense_binary32": dense_binary32,
    "max_pooling": max_pooling,
    "average_pooling": average_pooling,
    "mean_pooling": mean_pooling,
    "global_average_pooling": global_average,
    "clamp": lane_wise,
    "affine": lane_wise,
    "table": table,
    "thresholds": thresholds,
    "select": select,
    "reshape": reshape,
    "weighted_sum": weighted_sum,
    "extremum": extremum,
    "product": product_of_two,
    "concatenate": concatenate,
}
