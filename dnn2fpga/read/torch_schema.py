"""The JSON in a ``.pt2`` file, as far as it is read: the schema of ``torch.export``, version 8.

Source: https://github.com/pytorch/pytorch/blob/main/torch/_export/serde/schema.py
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

from dnn2fpga.read.limits import MOST_LAYERS

MOST_NODES = 4 * MOST_LAYERS
MOST_VALUES = 16 * MOST_LAYERS  # tensors with a name
MOST_LISTED = 64  # numbers, or tensors, of one argument
LONGEST_NAME = 300

Name: TypeAlias = Annotated[str, Field(max_length=LONGEST_NAME)]
Integer: TypeAlias = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Real: TypeAlias = float | Literal["Infinity", "-Infinity", "NaN"]  # JSON has no others


class _Part(BaseModel):
    """A part of the file, every value of which has the type that it must have; what is not read may be anything."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


class Unread(enum.Enum):
    """Stands for an argument of a kind that no operator here reads."""

    KIND = "an argument of an unknown kind"


class Reference(_Part):
    """A tensor, or an integer that is computed, by its name."""

    name: Name


class _SymbolicInteger(_Part):
    as_name: Name | None = None
    as_int: Integer | None = None

    @property
    def plain(self) -> int | Reference | Unread:
        if self.as_name is not None:
            return Reference(name=self.as_name)
        return Unread.KIND if self.as_int is None else self.as_int


Plain: TypeAlias = (
    bool | int | float | str | Reference | Unread | Sequence[Reference] | Sequence[int | Reference | Unread] | None
)


class Argument(_Part):
    """An argument or a result: one of these."""

    as_none: bool | None = None
    as_tensor: Reference | None = None
    as_tensors: Annotated[list[Reference], Field(max_length=MOST_LISTED)] | None = None
    as_bool: bool | None = None
    as_int: Integer | None = None
    as_ints: Annotated[list[Integer], Field(max_length=MOST_LISTED)] | None = None
    as_float: Real | None = None
    as_string: Name | None = None
    as_sym_int: _SymbolicInteger | None = None
    as_sym_ints: Annotated[list[_SymbolicInteger], Field(max_length=MOST_LISTED)] | None = None

    @property
    def plain(self) -> Plain:
        """The value, or None where it says so."""
        if self.as_float is not None:
            return float(self.as_float)
        if self.as_ints is not None:
            return [*self.as_ints]
        if self.as_sym_int is not None:
            return self.as_sym_int.plain
        if self.as_sym_ints is not None:
            return [one.plain for one in self.as_sym_ints]
        others = (self.as_tensor, self.as_tensors, self.as_bool, self.as_int, self.as_string)
        known = next((one for one in others if one is not None), None)
        return Unread.KIND if known is None and self.as_none is None else known

    @property
    def names(self) -> tuple[str, ...]:
        """The tensors and integers in it."""
        found = self.plain if isinstance(self.plain, list) else [self.plain]
        return tuple(one.name for one in found if isinstance(one, Reference))


class _NamedArgument(_Part):
    name: Name
    arg: Argument


class TorchNode(_Part):
    """A call of an operator."""

    target: Name
    inputs: Annotated[list[_NamedArgument], Field(max_length=MOST_LISTED)]
    outputs: Annotated[list[Argument], Field(max_length=MOST_LISTED)]
    metadata: dict[str, str] = {}

    @property
    def operator(self) -> str:
        """Such as ``aten.conv2d.default``."""
        return self.target.removeprefix("torch.ops.")

    @property
    def arguments(self) -> dict[str, Plain]:
        return {one.name: one.arg.plain for one in self.inputs}

    @property
    def reads(self) -> tuple[str, ...]:
        """The names of what it reads."""
        return tuple(name for one in self.inputs for name in one.arg.names)

    @property
    def makes(self) -> tuple[str, ...]:
        """The names of what it computes."""
        return tuple(name for one in self.outputs for name in one.names)

    @property
    def module(self) -> str:
        """The path of the module that calls it, such as ``features.0``; empty for the model itself."""
        last = self.metadata.get("nn_module_stack", "").rpartition(";")[2].split(",")
        return last[1] if len(last) == 3 else ""


class _Expression(_Part):
    expr_str: str = ""


class _Extent(_Part):
    as_int: Integer | None = None
    as_expr: _Expression | None = None


class TensorMeta(_Part):
    """The shape of a tensor, and how a stored one lies in its file."""

    dtype: Integer
    sizes: Annotated[list[_Extent], Field(max_length=MOST_LISTED)]
    strides: Annotated[list[_Extent], Field(max_length=MOST_LISTED)] = []
    storage_offset: _Extent = _Extent(as_int=0)
    layout: Integer = 7

    @property
    def shape(self) -> tuple[int | None, ...]:
        """Extents; None where one is open."""
        return tuple(one.as_int for one in self.sizes)


class _Graph(_Part):
    nodes: Annotated[list[TorchNode], Field(max_length=MOST_NODES)]
    tensor_values: Annotated[dict[str, TensorMeta], Field(max_length=MOST_VALUES)]


class _UserInput(_Part):
    arg: Argument


class _Parameter(_Part):
    arg: Reference
    parameter_name: Name


class _Buffer(_Part):
    arg: Reference
    buffer_name: Name


class _TensorConstant(_Part):
    arg: Reference
    tensor_constant_name: Name


class _InputSpec(_Part):
    user_input: _UserInput | None = None
    parameter: _Parameter | None = None
    buffer: _Buffer | None = None
    tensor_constant: _TensorConstant | None = None


class _OutputSpec(_Part):
    user_output: _UserInput | None = None


class _Signature(_Part):
    input_specs: Annotated[list[_InputSpec], Field(max_length=MOST_VALUES)]
    output_specs: Annotated[list[_OutputSpec], Field(max_length=MOST_VALUES)]


class _GraphModule(_Part):
    graph: _Graph
    signature: _Signature


class _Version(_Part):
    major: Integer
    minor: Integer


class Program(_Part):
    """An exported program."""

    graph_module: _GraphModule
    schema_version: _Version
    torch_version: Name = "<=2.4"

    @model_validator(mode="after")
    def _names_are_unique(self) -> Program:
        made = [name for node in self.nodes for name in node.makes]
        names = [*made, *self.stored, *(name for one in self.inputs for name in one.names)]
        if len(set(names)) < len(names):
            raise ValueError("two of its tensors have one name")
        return self

    @property
    def nodes(self) -> list[TorchNode]:
        return self.graph_module.graph.nodes

    @property
    def values(self) -> Mapping[str, TensorMeta]:
        """The shapes of all tensors."""
        return self.graph_module.graph.tensor_values

    @property
    def inputs(self) -> list[Argument]:
        """The inputs that a user passes; constants among it have been folded into the graph."""
        return [one.user_input.arg for one in self.graph_module.signature.input_specs if one.user_input]

    @property
    def outputs(self) -> list[Argument | None]:
        """The outputs; None: something that it changes, such as the statistics of a batch normalization."""
        specs = self.graph_module.signature.output_specs
        return [one.user_output.arg if one.user_output else None for one in specs]

    @property
    def stored(self) -> dict[str, str]:
        """The names that parameters, buffers and constants have in the file, by those that they have in the graph."""
        found = {}
        for one in self.graph_module.signature.input_specs:
            if one.parameter:
                found[one.parameter.arg.name] = one.parameter.parameter_name
            if one.buffer:
                found[one.buffer.arg.name] = one.buffer.buffer_name
            if one.tensor_constant:
                found[one.tensor_constant.arg.name] = one.tensor_constant.tensor_constant_name
        return found


class Payload(_Part):
    """An array in the file."""

    path_name: Name
    use_pickle: bool
    tensor_meta: TensorMeta | None = None


class PayloadConfig(_Part):
    """All arrays, by name."""

    config: Annotated[dict[str, Payload], Field(max_length=MOST_VALUES)]
