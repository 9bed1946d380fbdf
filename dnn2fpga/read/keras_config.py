"""A Keras model as its configuration describes it: layers, how they are connected, and nothing else.

A configuration is data from a stranger. It is only looked at: no class or function that it names is ever imported.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dnn2fpga.errors import UserError
from dnn2fpga.files.validation import problems_of
from dnn2fpga.read.limits import MOST_LAYERS

SEQUENTIAL, FUNCTIONAL = "Sequential", ("Functional", "Model")
INPUT_CLASS = "InputLayer"
_CHAINS = "only chains are supported"
_OWN_PACKAGES = ("keras", "tf_keras")

Source = tuple[str, int]  # a tensor: a layer, and which of its uses makes it


class Serialized(BaseModel):
    """An object in a configuration: a layer, a model, or an activation that is given as one."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    class_name: str
    config: dict[str, Any]
    module: str | None = None
    registered_name: str | None = None

    @property
    def foreign(self) -> str | None:
        """How the class is called when it is not one of Keras' own."""
        names = (self.registered_name or "", self.class_name)
        packaged = next((name for name in names if ">" in name), None)  # package>Class: registered by a user
        if packaged:
            return packaged
        if not self.module:  # Keras 3 registers what is not its own; files of Keras 2 have neither
            return self.registered_name
        return None if self.module.split(".")[0] in _OWN_PACKAGES else f"{self.module}.{self.class_name}"


class _Item(Serialized):
    """A layer in the list of a model's layers."""

    name: str | None = None
    inbound_nodes: list[Any] = Field(default_factory=list)


class _Body(BaseModel):
    """A model's own configuration."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    layers: Annotated[list[_Item], Field(max_length=MOST_LAYERS)]
    output_layers: Any = None
    build_input_shape: Any = None


@dataclass(frozen=True)
class Call:
    """One use of a layer: the tensors it reads, and arguments that change what it does."""

    sources: tuple[Source, ...]
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True)
class LayerEntry:
    """One layer as the file describes it."""

    object: Serialized
    name: str
    calls: tuple[Call, ...]

    @property
    def class_name(self) -> str:
        return self.object.class_name

    @property
    def is_input(self) -> bool:
        return self.class_name == INPUT_CLASS

    @property
    def label(self) -> str:
        return f"layer '{self.name}' ({self.class_name})"


@dataclass(frozen=True)
class Architecture:
    """A model as the file describes it; layers in file order.

    :param outputs: the tensors that are the model's outputs.
    :param built_for: the input shape the model was built for (with the batch), where no input layer says it.
    """

    layers: tuple[LayerEntry, ...]
    outputs: tuple[Source, ...]
    built_for: Any = None


def read_architecture(config: dict[str, Any], where: str) -> Architecture:
    """The architecture in a model's configuration.

    :raises UserError: when it is no Sequential or Functional model, or cannot be understood; with all problems.
    """
    if isinstance(config.get("config"), list):  # Keras before 2.2.3 kept a bare list of layers
        config = config | {"config": {"layers": config["config"]}}
    try:
        model = Serialized.model_validate(config)
        if model.foreign or model.class_name not in (SEQUENTIAL, *FUNCTIONAL):
            raise UserError(
                f"{where}: a Sequential or Functional model is needed, not {model.foreign or model.class_name!r}: its "
                "code is not in the file; build its layers with keras.Sequential or keras.Model(inputs, outputs), set "
                "their weights, and save that"
            )
        body = _Body.model_validate(model.config)
    except ValidationError as error:
        raise UserError(problems_of(error, where, {})) from error
    sequential = model.class_name == SEQUENTIAL
    problems: list[str] = []
    entries: list[LayerEntry] = []
    for index, item in enumerate(body.layers):
        name = item.config.get("name")
        if not isinstance(name, str) or item.name not in (None, name):
            problems.append(f"{where}: layer number {index} ({item.class_name}) has no name, or two: it must have one")
            continue
        try:
            previous = ((entries[-1].name, 0),) if entries else ()
            calls = (Call(previous),) if sequential else tuple(_call(node) for node in item.inbound_nodes)
        except ValueError as reason:
            problems.append(f"{where}: layer '{name}' ({item.class_name}): {reason}")
            continue
        if name in (entry.name for entry in entries):
            problems.append(f"{where}: layer '{name}' ({item.class_name}): there are two layers of this name")
        entries.append(LayerEntry(item, name, calls))
    try:
        outputs = _outputs(body.output_layers) if not sequential else [(entry.name, 0) for entry in entries[-1:]]
    except ValueError as reason:
        problems.append(f"{where}: the outputs of the model: {reason}")
    if problems:
        raise UserError(problems)
    built = config.get("build_config")
    built_for = built.get("input_shape") if isinstance(built, dict) else None
    return Architecture(tuple(entries), tuple(outputs), body.build_input_shape or built_for)


def _source(value: Any) -> Source:
    """``[layer, use, output of the layer]``"""
    if isinstance(value, list) and len(value) >= 3 and isinstance(value[0], str):
        use = value[1]
        if isinstance(use, int) and use >= 0 and value[2] == 0:
            return value[0], use
    raise ValueError(f"a tensor that it reads must be named as [layer, 0, 0], not {str(value)[:60]}")


def _call(node: Any) -> Call:
    """One use, in the notation of Keras 3 (``args`` and ``kwargs``) or of Keras 2 (lists ``[layer, use, output of the
    layer, arguments]``).
    """
    sources: list[Source] = []
    arguments: list[str] = []

    def collect(value: Any, name: str) -> None:
        if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
            tensor = value.get("config")
            sources.append(_source(tensor.get("keras_history") if isinstance(tensor, dict) else None))
        elif isinstance(value, dict):
            for key, item in value.items():
                collect(item, key)
        elif isinstance(value, list) and value and isinstance(value[0], str):
            sources.append(_source(value))
            collect(value[3:], name)
        elif isinstance(value, list):
            for item in value:
                collect(item, name)
        elif value is not None and value is not False:
            arguments.append(f"{name}={str(value)[:60]}")

    collect(node, "argument")
    return Call(tuple(sources), tuple(arguments))


def _outputs(value: Any) -> list[Source]:
    """One ``[layer, use, output of the layer]`` (Keras 3), or any nest of them."""
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list) or (value and isinstance(value[0], str)):
        return [_source(value)]
    return [source for item in value for source in _outputs(item)]


@dataclass(frozen=True)
class Use:
    """One place of a chain: a layer there, under a name of its own."""

    layer: LayerEntry
    name: str


def chain_of(architecture: Architecture) -> tuple[list[Use], list[str]]:
    """The layers from the input to the output, and what keeps the model from being a chain: there, every layer reads
    one tensor and every tensor is read once. An input layer is left out.
    """
    problems: list[str] = []
    readers: dict[Source, list[tuple[LayerEntry, int]]] = {}
    for entry in architecture.layers:
        for index, call in enumerate(entry.calls):
            if len(call.sources) > 1:
                problems.append(f"{entry.label}: reads {len(call.sources)} tensors; {_CHAINS}")
            problems += [f"{entry.label}: is called with {option}, which is not supported" for option in call.arguments]
            for source in call.sources:
                readers.setdefault(source, []).append((entry, index))
    for (name, _), reading in readers.items():
        if len(reading) > 1:
            problems.append(f"layer '{name}': is read by {', '.join(entry.name for entry, _ in reading)}; {_CHAINS}")
    inputs = [entry for entry in architecture.layers if entry.is_input]
    if len(inputs) > 1:
        problems.append(f"the model has more than one input; {_CHAINS}")
    if len(architecture.outputs) > 1:
        problems.append(f"the model has {len(architecture.outputs)} outputs; {_CHAINS}")
    if len(inputs) == len(architecture.layers):
        problems.append("the model has no layers")
    if problems:
        return [], problems
    return _walk(architecture, readers)


def _walk(
    architecture: Architecture, readers: dict[Source, list[tuple[LayerEntry, int]]]
) -> tuple[list[Use], list[str]]:
    first = architecture.layers[0]
    starts_itself = not first.is_input and not any(call.sources for call in first.calls)  # Sequential without an input
    at = [(first, 0)] if starts_itself else readers.get(_input_tensor(architecture), [])
    uses: list[Use] = []
    taken = {entry.name for entry in architecture.layers}
    left = sum(max(len(entry.calls), 1) for entry in architecture.layers if not entry.is_input)
    last: Source | None = None
    while at and len(uses) < left:
        entry, index = at[0]
        name = entry.name if index == 0 else next(n for k in count(2) if (n := f"{entry.name}_{k}") not in taken)
        taken.add(name)
        uses.append(Use(entry, name))
        last = (entry.name, index)
        at = readers.get(last, [])
    if at or len(uses) != left or (last,) != architecture.outputs:
        return [], [f"its layers are not connected from the input to the output; {_CHAINS}"]
    return uses, []


def _input_tensor(architecture: Architecture) -> Source:
    return next(((entry.name, 0) for entry in architecture.layers if entry.is_input), ("", 0))
