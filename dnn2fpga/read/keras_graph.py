"""The layers of a Keras model that compute its outputs, in an order in which each comes after those that it reads.
Models inside the model are opened: a layer inside is used once for each call of the models around it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from dnn2fpga.errors import UserError
from dnn2fpga.read.keras_calls import Call, Ports, Source
from dnn2fpga.read.keras_config import Architecture, LayerEntry
from dnn2fpga.read.limits import MOST_LAYERS, MOST_STEPS

Scope = tuple[tuple[str, int], ...]  # the calls of models inside each other, from the outside: name and number


@dataclass(frozen=True)
class Place:
    """A tensor that a layer, or an input of the whole model, produces: one call of a layer in one scope."""

    scope: Scope
    layer: str
    call: int


@dataclass(frozen=True)
class Use:
    """One use of a layer.

    :param inputs: the tensors that it reads, in the order of its call's sources.
    """

    entry: LayerEntry
    call: Call
    inputs: tuple[Place, ...]


@dataclass
class Wiring:
    """A model without models inside.

    :param inputs: the input layers of the whole model, with the names that a caller uses for them.
    :param uses: in topological order, by the tensors that they produce.
    :param outputs: the tensors that leave, with their names (of a single one that has none: None).
    """

    inputs: list[tuple[str | None, LayerEntry]] = field(default_factory=list)
    uses: dict[Place, Use] = field(default_factory=dict)
    outputs: list[tuple[str | None, Place]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def wiring_of(architecture: Architecture, where: str) -> Wiring:
    """Connect the layers of a model; problems are in the result.

    :raises UserError: when the model is too large once the models inside it are opened.
    """
    expansion = _Expansion(architecture, where)
    expansion.run()
    return expansion.wiring


class _Expansion:
    def __init__(self, top: Architecture, where: str) -> None:
        self.top, self.where = top, where
        self.models: dict[Scope, Architecture] = {(): top}  # the model that is called there
        self.wiring = Wiring()
        self.steps = 0

    def run(self) -> None:
        for key, source in zip(self.top.inputs.keys, self.top.inputs.tensors, strict=True):
            entry = self.top.by_name.get(source.layer)
            if entry is None or not entry.is_input:
                self.refuse("the model", ValueError(f"its input '{source.layer}' is no input layer"))
            elif entry in (found for _, found in self.wiring.inputs):
                self.refuse("the model", ValueError(f"the input '{source.layer}' is there twice"))
            else:
                self.wiring.inputs.append((key, entry))
        for key, source in zip(self.top.outputs.keys, self.top.outputs.tensors, strict=True):
            try:
                place = self.origin((), source)
            except ValueError as reason:
                self.refuse("the outputs of the model", reason)
                continue
            self.visit(place)
            alone = len(self.top.outputs.flat) == 1
            self.wiring.outputs.append((key or (None if alone else source.layer), place))
        if not self.top.outputs.flat and not self.wiring.problems:
            self.refuse("the model", ValueError("it has no outputs"))

    def refuse(self, label: str, reason: ValueError) -> None:
        self.wiring.problems.append(f"{label}: {reason}")

    def visit(self, start: Place) -> None:
        """Note the use that produces a tensor, after all that it needs. Without recursion: networks are deep."""
        waiting: list[tuple[Place, Iterator[Place]]] = []
        open_: dict[Place, Use] = {}
        uses = self.wiring.uses

        def enter(place: Place) -> None:
            entry = self.models[place.scope].by_name[place.layer]
            if place in uses or entry.is_input:
                return
            if place in open_:
                circle = [p.layer for p in list(open_)[list(open_).index(place) :]]
                shown = " → ".join([*circle[:8], *["…"] * (len(circle) > 8), place.layer])
                raise _Circle(f"its layers read each other in a circle: {shown}")
            if len(uses) + len(open_) >= MOST_LAYERS:
                raise UserError(f"{self.where}: has more than {MOST_LAYERS:,} layers, models inside it opened")
            open_[place] = self.use(place, entry)
            waiting.append((place, iter(open_[place].inputs)))

        try:
            enter(start)
            while waiting:
                place, inputs = waiting[-1]
                if (following := next(inputs, None)) is not None:
                    enter(following)
                else:
                    uses[place] = open_.pop(place)
                    waiting.pop()
        except _Circle as reason:
            self.refuse("the model", reason)

    def use(self, place: Place, entry: LayerEntry) -> Use:
        call = entry.calls[place.call]
        inputs = []
        for source in call.sources:
            try:
                inputs.append(self.origin(place.scope, source))
            except ValueError as reason:
                self.refuse(entry.label, reason)
        if not call.sources:
            self.refuse(entry.label, ValueError("it reads nothing"))
        return Use(entry, call, tuple(inputs))

    def origin(self, scope: Scope, source: Source) -> Place:
        """Return the place that produces a tensor: into models inside, and out of them where the tensor is an input of
        theirs.

        :raises ValueError: when nothing does.
        """
        while True:
            self.steps += 1
            if self.steps > MOST_STEPS:
                raise UserError(f"{self.where}: its models inside each other are connected too intricately")
            model = self.models[scope]
            entry = model.by_name.get(source.layer)
            if entry is None:
                raise ValueError(f"reads '{source.layer}', which does not exist")
            if entry.is_input:
                names = [port.layer for port in model.inputs.tensors]
                if entry.name not in names:
                    of = f"'{scope[-1][0]}'" if scope else "the model"
                    raise ValueError(f"reads '{source.layer}', which is not among the inputs of {of}")
                if not scope:
                    return Place((), entry.name, 0)
                *outer, (name, number) = scope
                scope = tuple(outer)
                around = self.models[scope].by_name[name]
                given = model.inputs.matched(Ports.of_call(around.calls[number]))
                source = given[names.index(entry.name)]
                continue
            if source.call >= len(entry.calls):
                times = {0: "never called", 1: "called once"}.get(len(entry.calls), f"called {len(entry.calls)} times")
                raise ValueError(f"reads call {source.call} of '{source.layer}', which is {times}")
            count = len(entry.model.outputs.flat) if entry.model else 1
            if source.output >= count:
                raise ValueError(f"reads output {source.output} of '{source.layer}', which has {count}")
            if entry.model is None:
                return Place(scope, entry.name, source.call)
            scope = (*scope, (entry.name, source.call))
            self.models[scope] = entry.model
            source = entry.model.outputs.tensors[source.output]


class _Circle(ValueError):
    pass
