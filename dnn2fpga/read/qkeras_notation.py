"""The notations of a quantizer of QKeras in files: an object, or a text such as ``quantized_bits(6, 0, alpha=1)``,
which QKeras evaluates, and which is parsed here.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, ValidationError

from dnn2fpga.read.keras_config import Serialized
from dnn2fpga.read.keras_options import line_of
from dnn2fpga.read.qkeras_functions import (
    QuantizedPo2,
    QuantizedRelu,
    QuantizedReluPo2,
    QuantizedSigmoid,
    QuantizedTanh,
)
from dnn2fpga.read.qkeras_quantizers import QKerasQuantizer, QuantizedBits, QuantizedLinear
from dnn2fpga.read.qkeras_signs import Binary, StochasticBinary, StochasticTernary, Ternary

PACKAGE = "qkeras>"
LONGEST_TEXT = 500
MOST_PROBLEMS = 5  # of one quantizer, that are told
QUANTIZERS: dict[str, type[QKerasQuantizer]] = {
    kind.name: kind
    for kind in (
        *(QuantizedBits, QuantizedLinear, Ternary, StochasticTernary, Binary, StochasticBinary),
        *(QuantizedRelu, QuantizedTanh, QuantizedSigmoid, QuantizedPo2, QuantizedReluPo2),
    )
}
UNSUPPORTED = ("quantized_ulaw", "quantized_hswish", "bernoulli")
_CALL = re.compile(r"\s*(\w+)\s*(?:\((.*)\))?\s*", re.ASCII)
_ARGUMENT = re.compile(r"\s*(?:(\w+)\s*=)?\s*([^=,()'\"]+|'[^'\"]*'|\"[^'\"]*\")\s*", re.ASCII)
_WORDS = {"True": True, "False": False, "None": None}


def is_quantizer(value: Any) -> bool:
    """Whether a value in a configuration names a quantizer of QKeras."""
    return _named(value) in (*QUANTIZERS, *UNSUPPORTED)


def _named(value: Any) -> str | None:
    if isinstance(value, str):
        match = _CALL.fullmatch(value[:LONGEST_TEXT])
        return match[1] if match else None
    name = value.get("registered_name") or value.get("class_name") if isinstance(value, dict) else None
    return name.removeprefix(PACKAGE) if isinstance(name, str) else None


def quantizer_of(value: Any) -> QKerasQuantizer:
    """Read a quantizer.

    :raises ValueError: when it is not supported, and why.
    """
    name = _named(value)
    if name not in QUANTIZERS:
        shown = name or str(value)
        raise ValueError(f"the quantizer {shown[:60]} is not supported; supported are {', '.join(QUANTIZERS)}")
    kind = QUANTIZERS[name]
    try:
        item = Serialized(class_name=name, config=_arguments(value, kind)) if isinstance(value, str) else None
        item = item or Serialized.model_validate(value)
        quantizer = kind.model_validate(item.config)
    except ValidationError as error:
        lines = [f"{name}: {line_of(problem)}" for problem in error.errors()[:MOST_PROBLEMS]]
        raise ValueError("; ".join(lines)) from error
    quantizer._of_0_9 = PACKAGE not in (item.foreign or "")
    return quantizer


def _arguments(text: str, kind: type[QKerasQuantizer]) -> dict[str, Any]:
    """The arguments of a call in a text, by their names."""
    match = _CALL.fullmatch(text)
    if match is None:
        raise ValueError(f"'{text[:60]}' cannot be understood")
    inside = (match[2] or "").strip()
    given: dict[str, Any] = {}
    parameters = list(kind.model_fields)
    parts = inside.split(",") if inside else []
    for place, part in enumerate(parts):
        argument = _ARGUMENT.fullmatch(part)
        if argument is None or place >= len(parameters):
            raise ValueError(f"'{text[:60]}' cannot be understood: {part.strip()[:40]}")
        name = argument[1] or parameters[place]
        is_late = not argument[1] and place > 0 and "=" in parts[place - 1]  # after one with a name
        if name in given or is_late:
            raise ValueError(f"'{text[:60]}' cannot be understood: {part.strip()[:40]}")
        given[name] = _value(argument[2].strip())
    return given


def _value(text: str) -> Any:
    """A number, a word, or a text in quotes."""
    if text in _WORDS:
        return _WORDS[text]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text.strip("'\"")


def _of_weights(value: Any) -> QKerasQuantizer | None:
    return None if value is None else quantizer_of(value)


def _of_kernel(value: Any) -> QKerasQuantizer | None:
    return None if value is None else quantizer_of(value).trained()


OfWeights = Annotated[QKerasQuantizer | None, BeforeValidator(_of_weights)]
OfKernel = Annotated[QKerasQuantizer | None, BeforeValidator(_of_kernel)]  # which the layer trains
