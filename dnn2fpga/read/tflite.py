"""Reads TensorFlow Lite models in int8, as one of its implementations computes them. Nothing in a file can run: it is
taken apart by our own reader, every position and length of which is checked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from dnn2fpga.errors import UserError
from dnn2fpga.graph.float import Graph
from dnn2fpga.layers.quantizer import Quantizer, Rounded
from dnn2fpga.read.builder import GraphBuilder, SymbolicTensor
from dnn2fpga.read.flatbuffer import DamagedFile
from dnn2fpga.read.limits import MOST_PARAMETERS
from dnn2fpga.read.settings import ReadSettings
from dnn2fpga.read.tflite_builtins import Builtin
from dnn2fpga.read.tflite_elementwise import ELEMENTWISE
from dnn2fpga.read.tflite_layers import LAYERS
from dnn2fpga.read.tflite_operators import CONVERT, Call, encoding_of, without_batch
from dnn2fpga.read.tflite_rules import Arithmetic, TfliteRule
from dnn2fpga.read.tflite_schema import SIGNATURE, SIGNATURE_AT, Kind, TfliteModel, TfliteOperator, TfliteTensor, parse
from dnn2fpga.tensors.basics import Unsupported

INPUT = "input"  # what the only input tensor of a model is called everywhere
LARGEST_FILE = 4 * MOST_PARAMETERS  # bytes
READERS = LAYERS | ELEMENTWISE


def read_tflite(path: Path | str, settings: ReadSettings) -> Graph:
    """Read a file by the rule that the settings name; see `read_tflite_model`."""
    return read_tflite_model(path, TfliteRule(settings.rule))


def read_tflite_model(path: Path | str, rule: TfliteRule = TfliteRule.TFLM) -> Graph:
    """Read a ``.tflite`` file as a graph with quantizers.

    :param rule: whose arithmetic it computes.
    :raises UserError: with *all* operators that are not supported, and why.
    """
    path = Path(path)
    model = _parsed(path)
    _require_integers(path, model)
    builder = GraphBuilder(path.stem, str(path))
    with np.errstate(all="ignore"):  # scales of a stranger; what comes of them is checked
        _Building(builder, model, rule.arithmetic).run()
    return builder.graph()


def _parsed(path: Path) -> TfliteModel:
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise UserError(f"{path}: has {path.stat().st_size:,} bytes; at most {LARGEST_FILE:,} are read")
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    if data[SIGNATURE_AT : SIGNATURE_AT + len(SIGNATURE)] != SIGNATURE:
        raise UserError(f"{path}: is not a TensorFlow Lite model; save it with tf.lite.TFLiteConverter")
    try:
        return parse(data)
    except DamagedFile as reason:
        raise UserError(f"{path}: is not a TensorFlow Lite model that can be read: {reason}") from reason


def _require_integers(path: Path, model: TfliteModel) -> None:
    """Refuse, in one message, a file whose operators compute in anything but int8."""
    for kind, (allowed, advice) in _OTHER_TYPES.items():
        found = [one for one in model.operators if one.kind not in allowed and kind in _kinds(model, one.outputs)]
        if not found:
            continue
        if kind is Kind.FLOAT32 and any(_reads_integer_weights(model, one) for one in found):
            advice = f"with weights in int8 (hybrid); {CONVERT}"
        raise UserError(
            f"{path}: {len(found)} of its {len(model.operators)} operators compute in {kind.name.lower()} (the first: "
            f"{found[0].label}), {advice}"
        )


_OTHER_TYPES = {
    Kind.INT16: (set[Builtin](), f"which is not supported; {CONVERT}"),
    Kind.FLOAT32: (
        {Builtin.DEQUANTIZE},
        f"which is not read from .tflite files yet; {CONVERT}, or give the Keras model that it comes from",
    ),
    Kind.UINT8: ({Builtin.QUANTIZE}, f"the format of TensorFlow 1, which is not supported; {CONVERT}"),
}


def _kinds(model: TfliteModel, indices: Sequence[int]) -> set[Kind | None]:
    return {model.tensors[index].kind for index in indices if index >= 0}


def _reads_integer_weights(model: TfliteModel, operator: TfliteOperator) -> bool:
    return operator.kind is not Builtin.QUANTIZE and Kind.INT8 in _kinds(model, operator.inputs)


class _Building:
    """A model that is being built. Problems are in the builder; what depends on them is left out.

    :param tensors: what has been built, by the index of the tensor.
    """

    def __init__(self, builder: GraphBuilder, model: TfliteModel, arithmetic: Arithmetic) -> None:
        self.builder, self.model, self.arithmetic = builder, model, arithmetic
        self.tensors: dict[int, SymbolicTensor] = {}
        self.failed: set[int] = set()
        self.needed = _needed(model)
        self.operators = [one for one in model.operators if self.needed.intersection(one.outputs)]

    def run(self) -> None:
        self._claim()
        for index in dict.fromkeys(self.model.inputs):
            tensor = self.model.tensors[index]
            self._guarded(f"the input {tensor.label}", [index], lambda t=tensor: self._input(t))  # type: ignore[misc]
        for operator in self.operators:
            if not self.failed.intersection(operator.inputs):
                self._guarded(operator.label, operator.outputs, lambda o=operator: self._operator(o))  # type: ignore[misc]
            else:
                self.failed.update(operator.outputs)
        if any(operator.kind not in READERS for operator in self.operators):
            self.builder.refuse("", f"supported are {', '.join(sorted(kind.name for kind in READERS))}")
        self._outputs()

    def _guarded(self, where: str, makes: Sequence[int], step: Callable[[], SymbolicTensor]) -> None:
        try:
            self.tensors[makes[0]] = step()
        except (Unsupported, ValueError) as reason:
            self.builder.refuse(where, str(reason))
            self.failed.update(makes)

    def _claim(self) -> None:
        """Count constants before any is read: many operators can share the bytes of one."""
        for operator in self.operators:
            constants = (self.model.tensors[index] for index in operator.inputs if index >= 0)
            sizes = (math.prod(one.shape) for one in constants if one.content is not None)
            self.builder.claim(sum(max(size, 0) for size in sizes), operator.label)

    def _input(self, tensor: TfliteTensor) -> SymbolicTensor:
        """An input; with codes, it is what the host makes of real numbers."""
        if tensor.index not in self.needed:
            raise Unsupported("no output depends on it; leave it out of the model")
        name = tensor.name.removeprefix("serving_default_").removesuffix(":0") or f"t{tensor.index}"
        source = self.builder.input(name if len(self.model.inputs) > 1 else INPUT, without_batch(tensor))
        if tensor.kind in (Kind.FLOAT32, Kind.UINT8):
            return source  # QUANTIZE reads it
        rule = Rounded(self.arithmetic.input_rounding, binary32=True)
        return self.builder.add(Quantizer(f"t{tensor.index}_input", encoding_of(tensor), rule), source)

    def _operator(self, operator: TfliteOperator) -> SymbolicTensor:
        if operator.kind not in READERS:
            raise Unsupported("is not supported")
        result = READERS[operator.kind](Call(operator, self.model, self.builder, self.arithmetic, self.tensors))
        stated = self.model.tensors[operator.outputs[0]]
        if result.shape != without_batch(stated):
            shapes = f"{list(result.shape)}, where the file states {list(stated.shape)}"
            raise Unsupported(f"makes {shapes} for {stated.label}")
        return result

    def _outputs(self) -> None:
        if not self.model.outputs:
            self.builder.refuse("", "the model has no outputs")
        for index in self.model.outputs:
            where = f"the output {self.model.tensors[index].label}"
            if index in self.model.inputs:
                self.builder.refuse(where, "is an input of the model, unchanged")
            elif index in self.tensors:
                self.builder.output(self.tensors[index])
            elif index not in self.failed:
                self.builder.refuse(where, "is computed by no operator")


def _needed(model: TfliteModel) -> set[int]:
    """The tensors that outputs depend on, but for shapes."""
    needed = set(model.outputs)
    for operator in reversed(model.operators):
        if needed.intersection(operator.outputs):
            needed.update(index for index in operator.inputs if index >= 0 and _holds_numbers(model.tensors[index]))
    return needed


def _holds_numbers(tensor: TfliteTensor) -> bool:
    return tensor.kind not in (Kind.INT32, Kind.INT64)
