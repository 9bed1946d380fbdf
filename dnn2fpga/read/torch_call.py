"""The surroundings of a node of a PyTorch program: its tensors, its constants, its arguments and its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dnn2fpga.read.builder import GraphBuilder
from dnn2fpga.read.channels_first import Constant, Stream, Value
from dnn2fpga.read.channels_first_operator import Operator
from dnn2fpga.read.limits import LARGEST_EXTENT
from dnn2fpga.read.torch_schema import Plain, Reference, TorchNode
from dnn2fpga.tensors.basics import Unsupported


@dataclass(frozen=True, eq=False)
class Call(Operator):
    """A node that is being read.

    :param own_name: what the node of the result is called.
    :param values: what has been read so far, by the name of the tensor.
    :param batch: the batch with which the program was exported; None where it is open.
    """

    node: TorchNode
    own_name: str
    builder: GraphBuilder
    values: Mapping[str, Value]
    batch: int | None
    has_integers: bool = False

    @property
    def name(self) -> str:
        return self.own_name

    @property
    def label(self) -> str:
        return labelled(self.node, self.own_name)

    # Arguments: by the names of the operator's schema; one that is left out has a default

    @cached_property
    def arguments(self) -> dict[str, Plain]:
        return self.node.arguments

    def has(self, name: str) -> bool:
        """Whether an argument is there, and not None."""
        return self.arguments.get(name) is not None

    def number(self, name: str, default: float) -> float:
        found = self.arguments[name] if self.has(name) else default
        if isinstance(found, bool) or not isinstance(found, int | float):
            raise Unsupported(f"{name}: must be a number")
        try:
            return float(found)
        except OverflowError as error:
            raise Unsupported(f"{name}: is too large a number") from error

    def finite(self, name: str, default: float) -> float:
        found = self.number(name, default)
        if not np.isfinite(found):
            raise Unsupported(f"{name}={found}: must be finite")
        return found

    def integer(self, name: str, default: int) -> int:
        (found,) = self.integers(name, [default])[:1] or [default]
        return found

    def flag(self, name: str, default: bool = False) -> bool:
        found = self.arguments[name] if self.has(name) else default
        if not isinstance(found, bool):
            raise Unsupported(f"{name}: must be True or False")
        return found

    def text(self, name: str, default: str) -> str:
        found = self.arguments[name] if self.has(name) else default
        if not isinstance(found, str):
            raise Unsupported(f"{name}: must be a text")
        return found

    def integers(self, name: str, default: list[int]) -> list[int]:
        """A list of integers, some of which the program may compute; or one."""
        found = self.arguments[name] if self.has(name) else default
        return [self._integer(name, one) for one in (found if isinstance(found, list) else [found])]

    def _integer(self, name: str, found: Plain) -> int:
        if isinstance(found, Reference):
            array = self._named(found.name)
            if isinstance(array, Constant) and array.array.size == 1 and array.array.dtype.kind in "iu":
                return int(array.array.reshape(())[()])
        if isinstance(found, bool) or not isinstance(found, int):
            raise Unsupported(f"{name}: must be integers that depend on no number in a tensor")
        return found

    def pair(self, name: str, default: tuple[int, int], least: int = 1) -> tuple[int, int]:
        """Two extents, or one for both; an empty list is the default."""
        values = self.integers(name, list(default)) or list(default)
        if len(values) not in (1, 2) or not all(least <= value <= LARGEST_EXTENT for value in values):
            raise Unsupported(f"{name}={values}: must be two extents")
        return values[0], values[-1]

    # Tensors

    def value(self, name: str) -> Value:
        """A tensor, or a number as a constant."""
        found = self.arguments.get(name)
        if isinstance(found, Reference):
            return self._named(found.name)
        return Constant(np.asarray(self.number(name, np.nan)))

    def _named(self, name: str) -> Value:
        return self.values[name]

    def constant(self, name: str) -> Constant:
        """A constant.

        :raises Unsupported: when it is computed.
        """
        value = self.value(name)
        if not isinstance(value, Constant):
            raise Unsupported(f"{name}: must be a constant")
        if value.array.dtype.kind == "f" and not np.isfinite(value.array).all():
            raise Unsupported(f"{name}: has numbers that are not finite")
        return value

    def optional(self, name: str) -> Constant | None:
        """A constant that may be left out."""
        return self.constant(name) if self.has(name) else None

    def stream(self, name: str = "self") -> Stream:
        """A tensor that is computed.

        :raises Unsupported: when it is a constant.
        """
        value = self.value(name)
        if isinstance(value, Constant):
            raise Unsupported(f"{name}: is a constant where a tensor is expected that depends on an input")
        return value

    def streams(self, name: str) -> list[Stream]:
        """Tensors that are computed."""
        found = self.arguments.get(name)
        values = (
            [self._named(one.name) for one in found if isinstance(one, Reference)] if isinstance(found, list) else []
        )
        streams = [one for one in values if isinstance(one, Stream)]
        if not streams or len(streams) < len(values):
            raise Unsupported(f"{name}: must be tensors that depend on an input; one is a constant")
        return streams

    def image(self, name: str = "self") -> Stream:
        """A tensor that is an image."""
        stream = self.stream(name)
        if not stream.is_image:
            raise Unsupported(f"needs an image [1, channels, rows, columns], not {[1, *stream.shape]} in this order")
        return stream


def labelled(node: TorchNode, name: str) -> str:
    """Return the name of a node in messages."""
    return f"'{name}' ({node.operator})"


Reader = Callable[[Call], Value]
