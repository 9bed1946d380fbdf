"""A padding says how far the windows of a layer reach beyond the image."""

from __future__ import annotations

from reprlib import repr as shortened
from typing import Annotated, Any, Literal

from pydantic import PlainSerializer, PlainValidator

from dnn2fpga.tensors.basics import Shape
from rtl_lib.image.window_schedule import NO_PADDING, Padding

Pair = tuple[int, int]


def _rule(value: Any) -> Any:
    if isinstance(value, str) and value in ("valid", "same"):
        return value
    if isinstance(value, list | tuple) and len(value) == 4 and all(type(n) is int and n >= 0 for n in value):
        return Padding(*value)
    raise ValueError(f"must be 'valid', 'same' or [top, bottom, left, right], not {shortened(value)}")


# Nothing; what Keras calls "same"; or numbers of rows and columns.
PaddingRule = Annotated[Literal["valid", "same"] | Padding, PlainValidator(_rule), PlainSerializer(lambda rule: rule)]


def padding_of(rule: PaddingRule, size: Shape, kernel: Pair, strides: Pair) -> Padding:
    """Return the rows and columns that ``rule`` adds around an image.

    :param size: rows and columns of the image, whatever follows them.
    :param kernel: rows and columns of a window, which moves by ``strides``.
    """
    if isinstance(rule, Padding):
        return rule
    return Padding.same((size[0], size[1]), kernel, strides) if rule == "same" else NO_PADDING


def padding_after_zeros(rule: PaddingRule, zeros: Padding, size: Shape, kernel: Pair, strides: Pair) -> Padding | None:
    """Return what ``zeros`` around an image and then ``rule`` add together; None: no rule may add that much.

    :param size: rows and columns (and what follows) of the image without the zeros.
    """
    total = zeros.plus(padding_of(rule, zeros.around(size), kernel, strides))
    return total if total.is_smaller_than(kernel) else None
