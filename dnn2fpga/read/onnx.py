"""Reads ONNX models: in floating point, with the quantizers of QONNX, and quantized by onnxruntime. Nothing in a file
can run, and no other file is opened: it is taken apart by our own reader, every length of which is checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path

import numpy as np

from dnn2fpga.errors import UserError
from dnn2fpga.graph.float import Graph
from dnn2fpga.read import (
    onnx_elementwise,
    onnx_linear,
    onnx_moves,
    onnx_pooling,
    onnx_qlinear,
    onnx_quantized,
    qonnx,
)
from dnn2fpga.read.builder import GraphBuilder
from dnn2fpga.read.channels_first import Constant, Stream, Value
from dnn2fpga.read.channels_first_operator import as_vector
from dnn2fpga.read.limits import MOST_PARAMETERS
from dnn2fpga.read.onnx_call import Call, Reader
from dnn2fpga.read.onnx_constants import ALWAYS, OF_CONSTANTS
from dnn2fpga.read.onnx_schema import LONGEST_NAME, Domain, Kind, OnnxModel, OnnxNode, OnnxPort, array_of, parse
from dnn2fpga.read.protobuf import Budget, DamagedMessage
from dnn2fpga.read.settings import ReadSettings
from dnn2fpga.tensors.basics import Unsupported

MOST_EXACT = 2**18  # scales and biases of a model that are made exact numbers
MOST_COMPUTED = 2 * MOST_PARAMETERS  # numbers of all constants that are computed: weights from their codes, mostly
LARGEST_FILE = 8 * MOST_PARAMETERS  # bytes
READERS: dict[tuple[Domain, str], Reader] = {
    **onnx_elementwise.READERS,
    **onnx_linear.READERS,
    **onnx_moves.READERS,
    **onnx_pooling.READERS,
    **onnx_qlinear.READERS,
    **onnx_quantized.READERS,
    **qonnx.READERS,
}
BRING_INTEGERS = {**onnx_qlinear.READERS, **onnx_quantized.READERS, **qonnx.READERS}.keys()


def read_onnx(path: Path | str, settings: ReadSettings | None = None) -> Graph:
    """Read an ``.onnx`` file as a graph; with quantizers where it has integers of its own.

    :raises UserError: with *all* nodes that are not supported, and why.
    """
    path = Path(path)
    model = _parsed(path)
    builder = GraphBuilder(path.stem, str(path))
    with np.errstate(all="ignore"):  # numbers of a stranger; what comes of them is checked
        _Reading(builder, model).run()
    return builder.graph()


def _parsed(path: Path) -> OnnxModel:
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise UserError(f"{path}: has {path.stat().st_size:,} bytes; at most {LARGEST_FILE:,} are read")
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        return parse(data)
    except DamagedMessage as reason:
        raise UserError(f"{path}: is not an ONNX model that can be read: {reason}") from reason


class _Values(Mapping[str, Value]):
    """The tensors by name: constants of the file, and what has been read."""

    def __init__(self, model: OnnxModel) -> None:
        self.read: dict[str, Value] = {}
        self._constants = model.constants
        self._constant = cache(lambda name: Constant(array_of(model.constants[name])))

    def __getitem__(self, name: str) -> Value:
        if name in self.read:
            return self.read[name]
        if name in self._constants:
            return self._constant(name)
        raise Unsupported(f"reads '{name[:LONGEST_NAME]}', which no node before it computes")

    def __iter__(self) -> Iterator[str]:
        return iter((*self._constants, *self.read))

    def __len__(self) -> int:
        return len(self._constants) + len(self.read)


class _Reading:
    """Adds inputs, nodes and outputs; problems are in the builder."""

    def __init__(self, builder: GraphBuilder, model: OnnxModel) -> None:
        self.builder, self.model = builder, model
        self.values = _Values(model)
        self.failed: set[str] = set()
        self.entering: set[str] = set()
        self.exact = Budget(MOST_EXACT, "scales and biases")
        self.computed = Budget(MOST_COMPUTED, "numbers in constants that are computed")
        self.has_integers = any((node.domain, node.kind) in BRING_INTEGERS for node in model.nodes)

    def run(self) -> None:
        """Read what outputs depend on."""
        needed, nodes = self._needed()
        for port in self.model.inputs:
            if port.name in needed:
                self._guarded(f"the input '{port.name[:LONGEST_NAME]}'", port.name, partial(self._input, port))
        unknown = False
        for node in nodes:
            reader = self._reader(node)
            if reader is None:
                of = f": an operator of '{node.library[:LONGEST_NAME]}'" if node.library else ""
                self.builder.refuse(node.label, f"is not supported{of}")
                unknown = True
            if reader is None or self.failed.intersection(node.inputs):
                self.failed.update(node.outputs)
                continue
            self._guarded(node.label, node.outputs[0], partial(reader, self._call(node)))
        if unknown:
            self.builder.refuse("", f"supported are {', '.join(sorted({kind for _, kind in READERS}))}")
        for port in self.model.outputs:
            if port.name not in self.failed:
                self._guarded(f"the output '{port.name[:LONGEST_NAME]}'", port.name, partial(self._output, port))

    def _call(self, node: OnnxNode) -> Call:
        return Call(
            node, self.model, self.builder, self.values, self.has_integers, self.entering, self.exact, self.computed
        )

    def _guarded(self, where: str, name: str, step: Callable[[], Value]) -> None:
        """Take a step that makes a tensor."""
        try:
            self.values.read[name] = step()
        except (Unsupported, ValueError, OverflowError) as reason:
            self.builder.refuse(where, str(reason))
            self.failed.add(name)

    def _needed(self) -> tuple[set[str], list[OnnxNode]]:
        """The tensors that outputs depend on, and the nodes that compute them."""
        needed, nodes = {port.name for port in self.model.outputs}, []
        for node in reversed(self.model.nodes):
            if needed.intersection(node.outputs):
                needed.update(node.inputs)
                nodes.append(node)
        return needed, nodes[::-1]

    def _reader(self, node: OnnxNode) -> Reader | None:
        if node.domain is None:
            return None
        key = (node.domain, node.kind)
        if key in ALWAYS:
            return ALWAYS[key]
        if key in OF_CONSTANTS and all(self._is_constant(name) for name in node.inputs if name):
            return _folding(OF_CONSTANTS[key])
        return READERS.get(key)

    def _is_constant(self, name: str) -> bool:
        return name in self.model.constants or isinstance(self.values.read.get(name), Constant)

    # Inputs and outputs

    def _input(self, port: OnnxPort) -> Value:
        if port.kind not in (Kind.FLOAT, Kind.DOUBLE):
            raise Unsupported("must hold float32; let a QuantizeLinear make codes of it")
        if port.shape is None or len(port.shape) < 2:
            raise Unsupported("must have a shape with the batch first; export the model with one")
        batch, *shape = port.shape
        if batch not in (None, 0, 1) or None in shape:
            raise Unsupported(f"has the shape {list(port.shape)}; only the batch may be open, or 1")
        known = tuple(int(extent) for extent in shape if extent is not None)
        channels_last = len(known) == 3 and self._is_channels_last(port.name, known)
        own = known if len(known) != 3 or channels_last else (*known[1:], known[0])
        if len(known) == 2:
            raise Unsupported(f"has the shape {list(port.shape)}; vectors and images are supported")
        tensor = self.builder.input(port.name, own)
        self.entering.add(tensor.name)
        stream = Stream.usual(tensor)
        return stream.at(stream.places.transpose(1, 2, 0)) if channels_last else stream

    def _is_channels_last(self, name: str, shape: tuple[int, ...]) -> bool:
        """Whether an image is brought into ONNX' order first, as tf2onnx does."""
        readers = self.model.readers.get(name, [])
        while len(readers) == 1 and readers[0].kind in _BEFORE_TRANSPOSE and readers[0].inputs[0] == name:
            name = readers[0].outputs[0]
            readers = self.model.readers.get(name, [])
        for node in readers:
            call = self._call(node)
            if node.kind == "Transpose" and call.attribute("perm", [0]) == [0, 3, 1, 2]:
                return True
            if node.kind == "Reshape" and shape[2] == 1 and call.has(1) and self._is_constant(node.inputs[1]):
                return call.integers(1)[1:] == [1, *shape[:2]]
        return False

    def _output(self, port: OnnxPort) -> Value:
        value = self.values[port.name]
        if isinstance(value, Constant):
            raise Unsupported("depends on no input")
        if not (value.is_image or value.is_in_order):
            raise Unsupported(
                "leaves in another order than that of its stream, channels last; leave its last Flatten out"
            )
        tensor = as_vector(self.builder, value) if len(value.shape) == 1 else value.tensor
        self.builder.output(tensor, port.name)
        return value


_BEFORE_TRANSPOSE = ("Cast", "DequantizeLinear", "Identity", "IntQuant", "Quant", "QuantizeLinear")


def _folding(reader: Reader) -> Reader:
    """A reader of NumPy's functions, which object to types and indices in their own ways."""

    def guarded(call: Call) -> Value:
        try:
            return reader(call)
        except (TypeError, IndexError) as reason:
            raise Unsupported(f"computes a constant in a way that is not supported ({reason})") from reason

    return guarded
