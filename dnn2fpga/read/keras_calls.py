"""The calls in a Keras configuration, which say in the notations of Keras 2 and 3 which tensors a layer reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

_CONSTANT = "_CONSTANT_VALUE"  # in place of a layer's name, where Keras 2 has a number as the first argument


@dataclass(frozen=True)
class Source:
    """A tensor: a layer, which of its calls, and which of its outputs (of a model, flattened)."""

    layer: str
    call: int = 0
    output: int = 0


@dataclass(frozen=True)
class Input:
    """Stands for a tensor among the arguments of a call: its index among the sources."""

    index: int


@dataclass(frozen=True)
class Call:
    """One use of a layer.

    :param sources: the tensors that it reads.
    :param positional: arguments: constants, `Input`, and lists and dictionaries of them.
    :param named: arguments by name.
    """

    sources: tuple[Source, ...]
    positional: tuple[Any, ...] = ()
    named: Mapping[str, Any] = field(default_factory=dict)

    @property
    def options(self) -> list[str]:
        """Arguments other than tensors that say something, as ``name=value``."""
        found = [("argument", value) for value in self.positional] + list(self.named.items())
        return [f"{name}={str(leaf)[:60]}" for name, value in found for leaf in _constants(value)]


NO_CALL = Call(())


@dataclass(frozen=True)
class Ports:
    """A structure of tensors, flattened as Keras does it: lists in order, dictionaries by sorted keys.

    :param flat: the place of each tensor in the structure (indices and keys), and what is there.
    """

    flat: tuple[tuple[tuple[int | str, ...], Any], ...]

    @staticmethod
    def of(value: Any, tensors: Tensors) -> Ports:
        """Read a structure of ``[layer, call, output]``.

        :raises ValueError: when it is none.
        """
        return Ports(tuple(_flattened(tensors.named(value), (), Source)))

    @staticmethod
    def of_call(call: Call) -> Ports:
        """The structure that a model is called with."""
        found = list(_flattened(call.positional[0] if call.positional else None, (), Input))
        if len(found) == len(call.sources):
            return Ports(tuple((place, call.sources[at.index]) for place, at in found))
        return Ports(tuple(((k,), source) for k, source in enumerate(call.sources)))

    @staticmethod
    def one(layer: str) -> Ports:
        return Ports((((), Source(layer)),))

    @property
    def tensors(self) -> tuple[Any, ...]:
        return tuple(tensor for _, tensor in self.flat)

    @property
    def keys(self) -> tuple[str | None, ...]:
        """The name of each tensor in the structure; None outside of dictionaries."""
        return tuple(
            "_".join(map(str, place)) if any(isinstance(part, str) for part in place) else None
            for place, _ in self.flat
        )

    def matched(self, given: Ports) -> tuple[Any, ...]:
        """The tensors of a call, in the order of these ports: by their keys, or by their order where there are none.

        :raises ValueError: when the structures differ.
        """
        if any(self.keys) or any(given.keys):
            by_place = dict(given.flat)
            if set(by_place) == {place for place, _ in self.flat}:
                return tuple(by_place[place] for place, _ in self.flat)
        elif len(given.flat) == len(self.flat):
            return given.tensors
        raise ValueError(f"is called with {given.described}, but its inputs are {self.described}")

    @property
    def described(self) -> str:
        names = [key or "one more" for key in self.keys] if any(self.keys) else [f"{len(self.flat)} tensors"]
        return ", ".join(names[:8])


class Tensors:
    """Reads the tensors in the arguments of a call, and numbers them.

    :param from_1: layers whose first call has the number 1.
    """

    def __init__(self, from_1: frozenset[str] = frozenset()) -> None:
        self.from_1 = from_1
        self.found: list[Source] = []

    def source(self, value: Any) -> Source:
        """``[layer, call, output]``"""
        if isinstance(value, list) and len(value) >= 3 and isinstance(value[0], str):
            layer, call, output = value[:3]
            if type(call) is int and type(output) is int and call >= (layer in self.from_1) and output >= 0:
                return Source(layer, call - (layer in self.from_1), output)
        raise ValueError(f"a tensor that it reads must be named as [layer, 0, 0], not {str(value)[:60]}")

    def _input(self, value: Any) -> Input:
        self.found.append(self.source(value))
        return Input(len(self.found) - 1)

    def named(self, value: Any) -> Any:
        """A structure of ``[layer, call, output]``, as sources."""
        if isinstance(value, dict):
            return {key: self.named(item) for key, item in value.items()}
        if isinstance(value, list) and not (value and isinstance(value[0], str)):
            return [self.named(item) for item in value]
        return self.source(value)

    def keras_3(self, value: Any) -> Any:
        """Arguments in the notation of Keras 3, in which a tensor is an object."""
        if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
            config = value.get("config")
            return self._input(config.get("keras_history") if isinstance(config, dict) else None)
        if isinstance(value, dict):
            return {key: self.keras_3(item) for key, item in value.items()}
        return [self.keras_3(item) for item in value] if isinstance(value, list) else value

    def keras_2(self, value: Any, named: dict[str, Any]) -> Any:
        """Arguments in the notation of Keras 2: a tensor is ``[layer, call, output, arguments]``, where ``arguments``
        are the further ones of the call.
        """
        if isinstance(value, dict):
            return {key: self.keras_2(item, named) for key, item in value.items()}
        if not isinstance(value, list):
            return value
        if not (value and isinstance(value[0], str)):
            return [self.keras_2(item, named) for item in value]
        first = value[2] if value[0] == _CONSTANT and len(value) > 2 else self._input(value)
        further = value[3] if len(value) > 3 else {}
        if not isinstance(further, dict):
            raise ValueError(f"a tensor that it reads must be named as [layer, 0, 0], not {str(value)[:60]}")
        for name, argument in further.items():
            if name not in named:
                named[name] = self.keras_2(argument, {})
        return first


def is_keras_2(node: Any) -> bool:
    """Return whether a call is written in the notation of Keras 2."""
    return not (isinstance(node, dict) and isinstance(node.get("args"), list))


def call_of(node: Any, tensors: Tensors) -> Call:
    """Read one call.

    :raises ValueError: when it cannot be understood.
    """
    named: dict[str, Any] = {}
    if is_keras_2(node):
        positional: tuple[Any, ...] = (tensors.keras_2(node, named),)
    else:
        positional = tuple(tensors.keras_3(node["args"]))
        found = tensors.keras_3(node.get("kwargs") or {})
        if not isinstance(found, dict):
            raise ValueError(f"the arguments of a call must have names, not {str(found)[:60]}")
        named = found
    return Call(tuple(tensors.found), positional, named)


def _flattened(value: Any, place: tuple[int | str, ...], kind: type) -> Iterator[tuple[tuple[int | str, ...], Any]]:
    if isinstance(value, kind):
        yield place, value
    elif isinstance(value, dict):
        for key in sorted(value):
            yield from _flattened(value[key], (*place, key), kind)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _flattened(item, (*place, index), kind)


def _constants(value: Any) -> Iterator[Any]:
    """Yield the parts of an argument that are neither a tensor nor None nor False."""
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _constants(item)
    elif value is not None and value is not False and not isinstance(value, Input):
        yield value
