"""Reads PyTorch programs (``.pt2``, written by ``torch.export.save``) without PyTorch. Nothing in a file can run: what
is a pickle is never opened.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from dnn2fpga.graph.float import Graph
from dnn2fpga.read import torch_elementwise, torch_linear, torch_moves, torch_pooling
from dnn2fpga.read.builder import GraphBuilder
from dnn2fpga.read.channels_first import Constant, Stream, Value
from dnn2fpga.read.channels_first_operator import as_vector
from dnn2fpga.read.limits import MOST_PARAMETERS
from dnn2fpga.read.protobuf import Budget
from dnn2fpga.read.settings import ReadSettings
from dnn2fpga.read.torch_archive import Arrays, open_program
from dnn2fpga.read.torch_call import Call, Reader, labelled
from dnn2fpga.read.torch_schema import Argument, Program, Reference, TorchNode
from dnn2fpga.tensors.basics import Unsupported

READERS: dict[str, Reader] = {
    **torch_elementwise.READERS,
    **torch_linear.READERS,
    **torch_moves.READERS,
    **torch_pooling.READERS,
}
SUPPORTED = sorted({operator.split(".")[1].strip("_") for operator in READERS})
CHECKS = ("_operator.", "aten._assert", "aten.sym_constrain_range")  # of shapes, which compute nothing
REAL = (7, 8)  # float32, float64
MOST_NUMBERS_MOVED = 2 * MOST_PARAMETERS


def read_torch(path: Path | str, settings: ReadSettings | None = None) -> Graph:
    """Read a ``.pt2`` file as a graph of layers in floating point.

    :raises UserError: with *all* nodes that are not supported, and why.
    """
    path = Path(path)
    with open_program(path) as (program, arrays), np.errstate(all="ignore"):  # what comes of the numbers is checked
        names = node_names(program)
        builder = GraphBuilder(path.stem, str(path), reserved=names.values())
        _Reading(builder, program, arrays, names).run()
    return builder.graph()


def node_names(program: Program) -> dict[str, str]:
    """Return what nodes are called here, by the name of their result in the program: as the module that computes them,
    where it computes nothing else.
    """
    computed = {name for argument in program.inputs for name in argument.names}
    layers = []
    for node in program.nodes:
        if computed.intersection(node.reads):
            computed.update(node.makes)
            layers += [] if node.operator in torch_moves.LOOKING else [node]
    counts = Counter(node.module for node in layers)
    taken = {name for node in program.nodes for name in node.makes}
    names = {name: name for name in taken}
    for node in layers:
        if node.makes and node.module and counts[node.module] == 1 and node.module not in taken:
            names[node.makes[0]] = node.module
    return names


def _is_known(node: TorchNode) -> bool:
    return node.operator in READERS and bool(node.makes)


class _Memory:
    """Which tensors are the same numbers in memory, so that an operator that writes to one changes all."""

    def __init__(self, program: Program) -> None:
        self._first: dict[str, str] = {}
        for node in program.nodes:
            if node.reads and (node.operator in torch_moves.LOOKING or node.operator in torch_elementwise.WRITING):
                self._first.update(dict.fromkeys(node.makes, self.of(node.reads[0])))

    def of(self, name: str) -> str:
        """The tensor that was there first."""
        return self._first.get(name, name)


class _Values(Mapping[str, Value]):
    """The tensors by name: constants of the file, and what has been read."""

    def __init__(self, program: Program, arrays: Arrays, memory: _Memory) -> None:
        self._stored, self._arrays, self._memory = program.stored, arrays, memory
        self._values: dict[str, tuple[Value, int]] = {}
        self._written = Counter[str]()  # how often, by place in memory
        self._numbers = Budget(MOST_NUMBERS_MOVED, "numbers in constants, and in tensors that are moved")

    def __getitem__(self, name: str) -> Value:
        if name not in self._values and name in self._stored:
            self.put(name, Constant(self._arrays.array(self._stored[name])))
        if name not in self._values:
            raise Unsupported(f"reads '{name}', which no node before it computes in a way that is supported")
        value, written = self._values[name]
        if written < self._written[self._memory.of(name)]:
            raise Unsupported(f"reads '{name}' after another operator has changed it in place; use inplace=False")
        if isinstance(value, Constant) or value.moved is not None:
            self._numbers.spend(math.prod(value.shape))
        return value

    def put(self, name: str, value: Value) -> None:
        """Keep what a tensor is."""
        self._values[name] = (value, self._written[self._memory.of(name)])

    def write(self, node: TorchNode) -> None:
        """Note that a node has changed its first argument in place: that is its result now, and nothing else is."""
        made = node.makes[0]
        if made in self._values:
            self._written[self._memory.of(made)] += 1
            for name in (made, node.reads[0]):
                self.put(name, self._values[made][0])

    def __iter__(self) -> Iterator[str]:
        return iter({**self._values, **self._stored})

    def __len__(self) -> int:
        return len({**self._values, **self._stored})


class _Reading:
    """Adds inputs, nodes and outputs; problems are in the builder."""

    def __init__(self, builder: GraphBuilder, program: Program, arrays: Arrays, names: Mapping[str, str]) -> None:
        self.builder, self.program, self.names = builder, program, names
        self.memory = _Memory(program)
        self.values = _Values(program, arrays, self.memory)
        self.failed: set[str] = set()

    @cached_property
    def inputs(self) -> list[str]:
        """The tensors that a user passes."""
        return [name for argument in self.program.inputs for name in argument.names]

    @cached_property
    def batch(self) -> int | None:
        """The batch with which the program was exported."""
        metas = (self.program.values.get(name) for name in self.inputs)
        return next((meta.shape[0] for meta in metas if meta and meta.shape), None)

    def run(self) -> None:
        """Read what outputs depend on."""
        needed, nodes = self._needed()
        for name in self.inputs:
            if name in needed:
                self._guarded(f"the input '{name}'", name, partial(self._input, name))
        unknown = False
        for node in nodes:
            name = self.names[node.makes[0]] if node.makes else node.operator
            if not _is_known(node):
                self.builder.refuse(labelled(node, name), "is not supported")
                unknown = True
            if not _is_known(node) or self.failed.intersection(node.reads):
                self.failed.update(node.makes)
                continue
            call = Call(node, name, self.builder, self.values, self.batch)
            self._guarded(call.label, node.makes[0], partial(self._computed, READERS[node.operator], call))
            if node.operator in torch_elementwise.WRITING:
                self.values.write(node)
        if unknown:
            self.builder.refuse("", f"supported are {', '.join(SUPPORTED)}")
        for argument in self.program.outputs:
            self._output(argument)

    def _guarded(self, where: str, name: str, step: Callable[[], Value]) -> None:
        """Take a step that makes a tensor."""
        try:
            self.values.put(name, step())
        except (Unsupported, ValueError, OverflowError) as reason:
            self.builder.refuse(where, str(reason))
            self.failed.add(name)

    def _needed(self) -> tuple[set[str], list[TorchNode]]:
        """The tensors that outputs depend on, and the nodes that compute or change them, or may: an unknown node whose
        result nothing reads would not be in the program, were that all it does.
        """
        needed = {name for argument in self.program.outputs if argument for name in argument.names}
        places, nodes = {self.memory.of(name) for name in needed}, []
        for node in reversed(self.program.nodes):
            unknown = not (_is_known(node) or node.operator.startswith(CHECKS))
            writes = node.operator in torch_elementwise.WRITING and node.reads
            changes = writes and self.memory.of(node.reads[0]) in places
            if needed.intersection(node.makes) or changes or unknown:
                needed.update(node.reads)
                places.update(self.memory.of(name) for name in node.reads)
                nodes.append(node)
        return needed, nodes[::-1]

    def _computed(self, reader: Reader, call: Call) -> Value:
        """Return the result of a node, whose shape must be what the file says it is."""
        value, name = reader(call), call.node.makes[0]
        stated = self.program.values.get(name)
        if isinstance(value, Stream) and stated:
            own = [None, *value.shape]
            agree = len(own) == len(stated.shape) and all(
                None in (one, other) or one == other for one, other in zip(own, stated.shape, strict=True)
            )
            if not agree:
                raise Unsupported(f"makes {own[1:]} of each sample; the file says {list(stated.shape[1:])}")
        return value

    # Inputs and outputs

    def _input(self, name: str) -> Value:
        meta = self.program.values.get(name)
        if meta is None or meta.dtype not in REAL:
            raise Unsupported("must hold float32; convert the model with model.float()")
        _, *shape = meta.shape or (None,)
        known = tuple(extent for extent in shape if extent is not None)
        if len(known) < len(shape) or len(known) not in (1, 3):
            shown = ["batch", *("?" if extent is None else extent for extent in shape)]
            raise Unsupported(
                f"has the shape {shown}; vectors and images are supported, and only the batch may be open"
            )
        channels_last = len(known) == 3 and self._is_channels_last(name)
        own = known if len(known) != 3 or channels_last else (*known[1:], known[0])
        stream = Stream.usual(self.builder.input(name, own))
        return stream.at(stream.places.transpose(1, 2, 0)) if channels_last else stream

    def _is_channels_last(self, name: str) -> bool:
        """Whether an image is brought into PyTorch's order first."""
        readers = [node for node in self.program.nodes if name in node.reads and node.operator != "aten.sym_size.int"]
        return bool(readers) and all(
            node.operator == "aten.permute.default" and node.arguments.get("dims") in ([0, 3, 1, 2], [0, -1, 1, 2])
            for node in readers
        )

    def _output(self, argument: Argument | None) -> None:
        if argument is None:
            self.builder.refuse("", "changes its own buffers or inputs; call model.eval() before the export")
            return
        found = argument.plain if isinstance(argument.plain, list) else [argument.plain]
        for one in found:
            if not isinstance(one, Reference):
                self.builder.refuse("the outputs", "must be tensors")
            elif one.name not in self.failed:
                self._leaving(one.name)

    def _leaving(self, name: str) -> None:
        try:
            value = self.values[name]
            if isinstance(value, Constant):
                raise Unsupported("depends on no input")
            if not (value.is_image or value.is_in_order):
                raise Unsupported(
                    "leaves in another order than that of its stream, channels last; leave its last flatten out"
                )
            self.builder.output(as_vector(self.builder, value) if len(value.shape) == 1 else value.tensor)
        except (Unsupported, ValueError) as reason:
            self.builder.refuse(f"the output '{name}'", str(reason))
