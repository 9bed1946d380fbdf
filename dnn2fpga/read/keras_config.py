"""A Keras model as its configuration describes it: layers, how they are connected, and nothing else.

A configuration is data from a stranger. It is only looked at: no class or function that it names is ever imported.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dnn2fpga.errors import UserError
from dnn2fpga.files.validation import problems_of
from dnn2fpga.read.keras_calls import Call, Ports, Source, Tensors, call_of, is_keras_2
from dnn2fpga.read.limits import MOST_LAYERS

SEQUENTIAL, FUNCTIONAL = "Sequential", ("Functional", "Model")
INPUT_CLASS = "InputLayer"
TENSORFLOW_FUNCTION = "TFOpLambda"  # how Keras 2 keeps a call of a function of TensorFlow's
_OWN_PACKAGES = ("keras", "tf_keras")

Path = tuple[str, ...]  # names of the models around a layer, and its own


class Serialized(BaseModel):
    """An object in a configuration: a layer, a model, an operation, or an activation that is given as a layer."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    class_name: str
    config: dict[str, Any]
    module: str | None = None
    registered_name: str | None = None

    @property
    def foreign(self) -> str | None:
        """The name of the class when it is not one of Keras' own."""
        names = (self.registered_name or "", self.class_name)
        packaged = next((name for name in names if ">" in name), None)  # package>Class: registered by a user
        if packaged:
            return packaged
        if not self.module:  # Keras 3 registers what is not its own; files of Keras 2 have neither
            return self.registered_name
        return None if self.module.split(".")[0] in _OWN_PACKAGES else f"{self.module}.{self.class_name}"

    @property
    def is_model(self) -> bool:
        return self.class_name in (SEQUENTIAL, *FUNCTIONAL) and not self.foreign

    @property
    def keys(self) -> tuple[str, ...]:
        """Under which names a table of kinds may have it, the best first: ``Dense``; ``ops.Add`` for what Keras makes
        of ``x + y``; ``tf.math.add`` for what Keras 2 made of it; ``package>Class`` or ``module.Class`` for classes of
        others, which in files of Keras 2 may be a mere ``Class``.
        """
        if self.foreign:
            return (self.foreign,) if set(self.foreign) & set(">.") else ()
        if self.class_name == TENSORFLOW_FUNCTION:
            return (f"tf.{self.config.get('function')}",)
        operation = f"ops.{self.class_name}"
        if self.module:
            return (operation,) if "ops" in self.module.split(".") else (self.class_name,)
        # An .h5 file says no module. Of what lies in it, layers alone have this option.
        return (self.class_name,) if "trainable" in self.config else (operation, self.class_name)


class _Item(Serialized):
    """A layer in the list of a model's layers."""

    name: str | None = None
    inbound_nodes: list[Any] = Field(default_factory=list)


class _Body(BaseModel):
    """A model's own configuration."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    layers: Annotated[list[_Item], Field(max_length=MOST_LAYERS)]
    input_layers: Any = None
    output_layers: Any = None
    build_input_shape: Any = None


@dataclass(frozen=True)
class LayerEntry:
    """One layer as the file describes it.

    :param path: its name, after the names of the models around it.
    :param model: what is in it, when it is a model.
    """

    object: Serialized
    path: Path
    calls: tuple[Call, ...]
    model: Architecture | None = None

    @property
    def name(self) -> str:
        return self.path[-1]

    @property
    def class_name(self) -> str:
        return self.object.class_name

    @property
    def is_input(self) -> bool:
        return self.class_name == INPUT_CLASS

    @property
    def label(self) -> str:
        return f"layer '{'/'.join(self.path)}' ({self.class_name})"


@dataclass(frozen=True)
class Architecture:
    """A model as the file describes it; layers in file order.

    :param inputs: its input layers, in the structure that it is called with.
    :param outputs: the tensors that are its outputs.
    """

    layers: tuple[LayerEntry, ...]
    inputs: Ports
    outputs: Ports

    @cached_property
    def by_name(self) -> dict[str, LayerEntry]:
        return {entry.name: entry for entry in self.layers}

    def everything(self) -> Iterator[LayerEntry]:
        """Yield all layers: models inside it, and then the layers in them, too."""
        for entry in self.layers:
            yield entry
            if entry.model:
                yield from entry.model.everything()


def read_architecture(config: dict[str, Any], where: str) -> Architecture:
    """Read the architecture in a model's configuration.

    :raises UserError: when it is no Sequential or Functional model, or cannot be understood; with all problems.
    """
    if isinstance(config.get("config"), list):  # Keras before 2.2.3 kept a bare list of layers
        config = config | {"config": {"layers": config["config"]}}
    try:
        model = Serialized.model_validate(config)
    except ValidationError as error:
        raise UserError(problems_of(error, where, {})) from error
    if not model.is_model:
        raise UserError(
            f"{where}: a Sequential or Functional model is needed, not {model.foreign or model.class_name!r}: its "
            "code is not in the file; build its layers with keras.Sequential or keras.Model(inputs, outputs), set "
            "their weights, and save that"
        )
    built = config.get("build_config")
    reading = _Reading(where)
    architecture = reading.model(model, (), built.get("input_shape") if isinstance(built, dict) else None)
    if reading.problems:
        raise UserError(reading.problems)
    return architecture


class _Reading:
    """Reads a model and the models inside it; collects problems."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.problems: list[str] = []
        self.count = 0

    def model(self, model: Serialized, path: Path, built_for: Any = None) -> Architecture:
        where = f"{self.where}: model '{'/'.join(path)}'" if path else self.where
        try:
            body = _Body.model_validate(model.config)
        except ValidationError as error:
            raise UserError(problems_of(error, where, {})) from error
        self.count += len(body.layers)
        if self.count > MOST_LAYERS:
            raise UserError(f"{self.where}: has more than {MOST_LAYERS:,} layers")
        entries = self._entries(body, path)
        if model.class_name == SEQUENTIAL:
            return _sequence(entries, path, body.build_input_shape or built_for)
        return self._connected(body, entries, where)

    def _entries(self, body: _Body, path: Path) -> list[tuple[_Item, LayerEntry]]:
        """The layers, not yet connected."""
        entries: list[tuple[_Item, LayerEntry]] = []
        names: set[str] = set()
        for index, item in enumerate(body.layers):
            name = item.config.get("name")
            if not isinstance(name, str) or item.name not in (None, name):
                number = f"layer number {index} ({item.class_name})"
                inside = f" of model '{'/'.join(path)}'" if path else ""
                self.problems.append(f"{self.where}: {number}{inside} has no name, or two: it must have one")
                continue
            inner = self.model(item, (*path, name)) if item.is_model else None
            entry = LayerEntry(item, (*path, name), (), inner)
            if name in names:
                self.problems.append(f"{self.where}: {entry.label}: there are two layers of this name")
            names.add(name)
            entries.append((item, entry))
        return entries

    def _connected(self, body: _Body, entries: list[tuple[_Item, LayerEntry]], where: str) -> Architecture:
        """A Functional model."""
        classes = {entry.name: entry.class_name for _, entry in entries if entry.model}
        keras_2 = any(is_keras_2(node) for item, _ in entries for node in item.inbound_nodes)
        # A model's first call has the number 1 where Keras counts the one that it was built with.
        from_1 = frozenset(classes if keras_2 else ())
        from_1_as_outputs = frozenset(n for n, c in classes.items() if keras_2 or c != SEQUENTIAL)
        layers = []
        for item, entry in entries:
            try:
                calls = tuple(call_of(node, Tensors(from_1)) for node in item.inbound_nodes)
            except ValueError as reason:
                self.problems.append(f"{self.where}: {entry.label}: {reason}")
                continue
            layers.append(LayerEntry(entry.object, entry.path, calls, entry.model))
        inputs = outputs = Ports(())
        try:
            inputs = Ports.of(body.input_layers, Tensors())
            outputs = Ports.of(body.output_layers, Tensors(from_1_as_outputs))
        except ValueError as reason:
            self.problems.append(f"{where}: the inputs and outputs of the model: {reason}")
        return Architecture(tuple(layers), inputs, outputs)


def _sequence(entries: list[tuple[_Item, LayerEntry]], path: Path, built_for: Any) -> Architecture:
    """A Sequential model. Where it has no input layer, its first layer says for which shape it was built (Keras 2), or
    the model does: it gets one.
    """
    layers = [entry for _, entry in entries]
    if not layers or not layers[0].is_input:
        shape = layers[0].object.config.get("batch_input_shape", built_for) if layers else built_for
        item = Serialized(class_name=INPUT_CLASS, config={"batch_shape": shape})
        layers.insert(0, LayerEntry(item, (*path, ""), ()))
    connected = layers[:1]
    for entry in layers[1:]:
        call = Call((Source(connected[-1].name),))
        connected.append(LayerEntry(entry.object, entry.path, (call,), entry.model))
    return Architecture(tuple(connected), Ports.one(layers[0].name), Ports.one(layers[-1].name))
