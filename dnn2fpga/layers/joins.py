"""What the layers that read several tensors share."""

from __future__ import annotations

from dnn2fpga.tensors.basics import Shape, Unsupported


def require_one_shape(what: str, shapes: tuple[Shape, ...]) -> Shape:
    """The shape that all have.

    :param what: is computed, for the message.
    :raises Unsupported: when they differ, or there is none.
    """
    if len(set(shapes)) != 1:
        shown = ", ".join(str(list(shape)) for shape in shapes) or "nothing"
        raise Unsupported(f"{what} needs inputs of one shape, not {shown}")
    return shapes[0]
