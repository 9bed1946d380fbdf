"""What the layers that slide over an image share."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from dnn2fpga.graph import KerasLayer, Shape, Unsupported
from rtl_lib.formats import Format
from rtl_lib.windows import Padding, Windows

Pair = tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]


def image_windows(
    shape: Shape,
    format: Format,
    kernel: tuple[int, int],
    strides: tuple[int, int],
    padding: str,
    fill: int | tuple[int, ...] = 0,
) -> Windows:
    """The windows of an image ``(rows, columns, channels)``; raises ``ValueError`` when the kernel does not fit."""
    rows, columns, channels = shape
    pads = Padding.same((rows, columns), kernel, strides) if padding == "same" else Padding()
    return Windows(rows, columns, channels, format, tuple(kernel), tuple(strides), pads, fill)  # type: ignore[arg-type]


def require_image(source: KerasLayer) -> None:
    if len(source.input_shape) != 3:
        raise Unsupported(f"its input must be an image (rows, columns, channels), not of shape {source.input_shape}")


def other_than(config: dict[str, Any], **built: tuple[Any, ...]) -> list[str]:
    """One line for every option of ``config`` that has none of the values that are built."""
    lines = []
    for option, values in built.items():
        found = config.get(option, values[0])
        found = tuple(found) if isinstance(found, list) else found
        if found not in values:
            lines.append(f"{option}={found!r} (built: {', '.join(map(repr, values))})")
    return lines
