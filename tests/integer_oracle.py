"""A second, independent integer model: configuration files → outputs, one number at a time, in exact fractions.

It is written from docs/arithmetic.md and imports neither dnn2fpga nor rtl_lib, so that it can disagree with them.
"""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import yaml

Image = dict[tuple[int, ...], int]  # position → integer


def run(folder: Path, frame: np.ndarray) -> dict[str, np.ndarray]:
    """Every tensor for one quantized frame, by the name of the layer that gives it."""
    model = yaml.safe_load((folder / "model.yaml").read_text(encoding="utf-8"))
    with np.load(folder / "weights.npz") as archive:
        arrays = {name: archive[name].tolist() for name in archive.files}
    tensor, values = model["input"], {p: int(frame[p]) for p in product(*map(range, frame.shape))}
    results = {}
    for layer in model["layers"]:
        prefix = layer["name"] + "/"
        own = {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}
        values = KINDS[layer["kind"]](layer | own, tensor, values)
        tensor = layer["output"]
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


def requantized(layer: dict[str, Any], lane: int, total: int) -> int:
    exact = Fraction(
        total * layer["multiplier"][lane] + layer.get("offset", [0] * (lane + 1))[lane], 2 ** layer["shift"][lane]
    )
    how = layer["arithmetic"]
    return fitted(rounded(exact, how["rounding"]), layer["low"], layer["high"], how["overflow"])


def positions(size: int, kernel: int, stride: int, padding: str) -> list[int]:
    """The first row (or column) of every window."""
    if padding == "valid":
        return list(range(0, size - kernel + 1, stride))
    count = math.ceil(size / stride)
    before = max((count - 1) * stride + kernel - size, 0) // 2  # TensorFlow: the odd one comes behind
    return [k * stride - before for k in range(count)]


def windows(
    layer: dict[str, Any], tensor: dict[str, Any], kernel: tuple[int, int]
) -> list[tuple[int, int, list[tuple[int, int, int, int]]]]:
    """For every output pixel: its place, and kernel row, kernel column, row, column of the pixels inside the frame."""
    rows, columns, _ = tensor["shape"]
    found = []
    for r, top in enumerate(positions(rows, kernel[0], layer["strides"][0], layer["padding"])):
        for c, left in enumerate(positions(columns, kernel[1], layer["strides"][1], layer["padding"])):
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
    for r, c, inside in windows(layer, tensor, (len(w), len(w[0]))):
        for f, bias in enumerate(layer["bias"]):
            terms = (
                w[i][j][k][f] * x[row, column, k] for i, j, row, column in inside for k in range(tensor["shape"][2])
            )
            y[r, c, f] = requantized(layer, f, sum(terms) + bias)
    return y


def dense(layer: dict[str, Any], tensor: dict[str, Any], x: Image) -> Image:
    w, y = layer["weights"], {}
    for place in product(*map(range, tensor["shape"][:-1])):
        for f, bias in enumerate(layer["bias"]):
            y[*place, f] = requantized(layer, f, sum(w[k][f] * x[*place, k] for k in range(len(w))) + bias)
    return y


def max_pooling(layer: dict[str, Any], tensor: dict[str, Any], x: Image) -> Image:
    return {
        (r, c, k): max(x[row, column, k] for _, _, row, column in inside)
        for r, c, inside in windows(layer, tensor, layer["pool_size"])
        for k in range(tensor["shape"][2])
    }


def average_pooling(layer: dict[str, Any], tensor: dict[str, Any], x: Image) -> Image:
    low, high = limits(layer["output"])
    how, y = layer["arithmetic"], {}
    for r, c, inside in windows(layer, tensor, layer["pool_size"]):
        for k in range(tensor["shape"][2]):
            total = sum(x[row, column, k] for _, _, row, column in inside)
            exact = Fraction(total * layer["multiplier"][r][c], 2 ** layer["shift"])
            y[r, c, k] = fitted(rounded(exact, how["rounding"]), low, high, how["overflow"])
    return y


def global_average(layer: dict[str, Any], tensor: dict[str, Any], x: Image) -> Image:
    rows, columns, channels = tensor["shape"]
    front = (0, 0) if len(layer["output"]["shape"]) == 3 else ()
    return {
        (*front, k): requantized(layer, k, sum(x[r, c, k] for r in range(rows) for c in range(columns)))
        for k in range(channels)
    }


def lane_wise(layer: dict[str, Any], tensor: dict[str, Any], x: Image) -> Image:
    """Clamp and affine: number ``i`` of a beat has the ``i``-th multiplier."""
    flat = [x[p] for p in sorted(x)]
    y = [requantized(layer, k % tensor["lanes"], value) for k, value in enumerate(flat)]
    return dict(zip(sorted(x), y, strict=True))


def table(layer: dict[str, Any], tensor: dict[str, Any], x: Image) -> Image:
    low, high = limits(tensor)
    assert len(layer["table"]) == high - low + 1
    return {place: layer["table"][value - low] for place, value in x.items()}


def reshape(layer: dict[str, Any], tensor: dict[str, Any], x: Image) -> Image:
    return dict(zip(product(*map(range, layer["output"]["shape"])), (x[p] for p in sorted(x)), strict=True))


KINDS = {
    "conv2d": conv2d,
    "dense": dense,
    "max_pooling": max_pooling,
    "average_pooling": average_pooling,
    "global_average_pooling": global_average,
    "clamp": lane_wise,
    "affine": lane_wise,
    "table": table,
    "reshape": reshape,
}
