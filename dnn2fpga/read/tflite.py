"""Reads TensorFlow Lite models in int8, as one of its implementations computes them. Nothing in a file can run: it is
taken apart by our own reader, every position and length of which is checked.
"""

from __future__ import annotations

from collections.abc import Iterable
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
from dnn2fpga.read.tflite_schema import SIGNATURE, SIGNATURE_AT, Kind, TfliteModel, TfliteTensor, parse
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
        _build(builder, model, rule.arithmetic)
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
    for operator in model.operators:
        outputs = [model.tensors[index].kind for index in operator.outputs]
        inputs = [model.tensors[index].kind for index in operator.inputs if index >= 0]
        is_float = Kind.FLOAT32 in outputs and operator.kind is not Builtin.DEQUANTIZE
        where = f"{path}: {operator.label}"
        if is_float and Kind.INT8 in inputs:
            raise UserError(f"{where} has weights in int8 and computes in float32 (hybrid); {CONVERT}")
        if is_float:
            raise UserError(
                f"{where} computes in float32, which is not read from .tflite files yet; {CONVERT}, or give the Keras "
                "model that it comes from"
            )
        if Kind.INT16 in outputs:
            raise UserError(f"{where} computes in int16, which is not supported; {CONVERT}")
        if Kind.UINT8 in outputs and operator.kind is not Builtin.QUANTIZE:
            raise UserError(f"{where} computes in uint8, the format of TensorFlow 1, which is not supported; {CONVERT}")


def _build(builder: GraphBuilder, model: TfliteModel, arithmetic: Arithmetic) -> None:
    """Add all inputs, operators and outputs; problems are in the builder."""
    tensors: dict[int, SymbolicTensor] = {}
    failed: set[int] = set()
    unknown = False
    for index in dict.fromkeys(model.inputs):
        tensor = model.tensors[index]
        try:
            tensors[index] = _input(builder, tensor, arithmetic, len(model.inputs) > 1)
        except (Unsupported, ValueError) as reason:
            builder.refuse(f"the input {tensor.label}", str(reason))
            failed.add(index)
    needed = _needed(model)
    for operator in model.operators:
        if not needed.intersection(operator.outputs):
            continue
        reader = None if operator.kind is None else READERS.get(operator.kind)
        if reader is None:
            builder.refuse(operator.label, "is not supported")
            unknown = True
        if reader is None or failed.intersection(operator.inputs):
            failed.update(operator.outputs)
            continue
        try:
            result = reader(Call(operator, model, builder, arithmetic, tensors))
            _require_stated_shape(result, model.tensors[operator.outputs[0]])
            tensors[operator.outputs[0]] = result
        except (Unsupported, ValueError) as reason:
            builder.refuse(operator.label, str(reason))
            failed.update(operator.outputs)
    if unknown:
        builder.refuse("", f"supported are {', '.join(sorted(kind.name for kind in READERS))}")
    _outputs(builder, model, tensors, failed)


def _input(builder: GraphBuilder, tensor: TfliteTensor, arithmetic: Arithmetic, several: bool) -> SymbolicTensor:
    """An input; with codes, it is what the host makes of real numbers."""
    name = tensor.name.removeprefix("serving_default_").removesuffix(":0") or f"t{tensor.index}"
    source = builder.input(name if several else INPUT, without_batch(tensor))
    if tensor.kind in (Kind.FLOAT32, Kind.UINT8):
        return source  # QUANTIZE reads it
    rule = Rounded(arithmetic.input_rounding, binary32=True)
    return builder.add(Quantizer(f"t{tensor.index}_input", encoding_of(tensor), rule), source)


def _needed(model: TfliteModel) -> set[int]:
    """The tensors that outputs depend on, but for shapes."""
    needed = set(model.outputs)
    for operator in reversed(model.operators):
        if needed.intersection(operator.outputs):
            needed.update(index for index in operator.inputs if index >= 0 and _holds_numbers(model.tensors[index]))
    return needed


def _holds_numbers(tensor: TfliteTensor) -> bool:
    return tensor.kind not in (Kind.INT32, Kind.INT64)


def _require_stated_shape(result: SymbolicTensor, stated: TfliteTensor) -> None:
    if result.shape != without_batch(stated):
        raise Unsupported(f"makes {list(result.shape)}, where the file states {list(stated.shape)} for {stated.label}")


def _outputs(
    builder: GraphBuilder, model: TfliteModel, tensors: dict[int, SymbolicTensor], failed: Iterable[int]
) -> None:
    for index in model.outputs:
        if index in tensors:
            builder.output(tensors[index])
        elif index not in failed:
            builder.refuse(f"the output {model.tensors[index].label}", "is computed by no operator")
