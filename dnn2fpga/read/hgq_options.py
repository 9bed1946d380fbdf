"""Options that HGQ2's layers have in common: quantizers of inputs, of constants, and of results.

HGQ2 leaves the outputs of its layers as they are (``enable_oq`` is rare): every layer that reads a tensor quantizes it
for itself. So the last node of a layer, which has the layer's name, is what HGQ2 calls its output; the quantizer before
it is ``<name>_iq``.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator

from dnn2fpga.layers.base import Layer
from dnn2fpga.layers.pass_through import Identity
from dnn2fpga.layers.quantizer import Quantizer
from dnn2fpga.read.builder import SymbolicTensor
from dnn2fpga.read.hgq_quantizers import FixedPoint, Options, QuantizerOptions, described
from dnn2fpga.read.keras_calls import Call
from dnn2fpga.read.keras_config import Serialized
from dnn2fpga.read.keras_options import Arrays, KerasOptions, LayerOptions, Shapes, policy_name
from dnn2fpga.tensors.basics import Shape, Unsupported

Single = Annotated[Literal["float32"], BeforeValidator(policy_name)]


def variables_of(options: QuantizerOptions | None, place: str, shape: Shape) -> Shapes:
    """Return the names and shapes of the variables of a quantizer.

    :param place: where it is in its layer, such as ``iq``.
    :param shape: of what it quantizes, with the batch (1) if that has one.
    :raises Unsupported: when there is no such quantizer.
    """
    return _required(options, place).arrays(place, shape)


def fixed_point(options: QuantizerOptions | None, place: str, arrays: Arrays) -> FixedPoint:
    """Return the quantizer at a place in its layer."""
    return _required(options, place).read(place, arrays)


def _required(options: QuantizerOptions | None, place: str) -> QuantizerOptions:
    if options is None:
        raise Unsupported(f"has no options for {described(place)}")
    return options


def named_last(chain: Sequence[Layer], name: str) -> list[Layer]:
    """Return layers of which the last has ``name``; one that does nothing where there are none."""
    return [*chain[:-1], replace(chain[-1], name=name)] if chain else [Identity(name)]


class HgqLayer(KerasOptions):
    """A layer of HGQ2, in single precision: in less, its sums are not exact."""

    dtype: Single = "float32"

    @classmethod
    def read(cls, item: Serialized, call: Call) -> Self:
        if ">" in item.class_name:
            raise Unsupported("lies in an .h5 file, which keeps widths in another order; save the model as .keras")
        return super().read(item, call)

    @property
    def keeps_arrays(self) -> bool:
        return True


class Quantized(HgqLayer):
    """A layer that quantizes what it reads, and perhaps what it produces."""

    enable_iq: bool = True
    enable_oq: bool = False
    enable_ebops: bool = False
    oq_conf: Options = None

    @property
    def ebops(self) -> Shapes:
        """Two variables that count effective bit operations in training."""
        return {"ebops_beta": None, "ebops": None} if self.enable_ebops else {}

    def output_variables(self, shape: Shape) -> Shapes:
        """Return the variables of the output quantizer, for an output of ``shape``."""
        return variables_of(self.oq_conf, "oq", (1, *shape)) if self.enable_oq else {}

    def output_quantizers(self, name: str, arrays: Arrays) -> list[Quantizer]:
        """Return the output quantizer of the layer ``name``, if it has one."""
        return [fixed_point(self.oq_conf, "oq", arrays).quantizer(f"{name}_oq")] if self.enable_oq else []


class HgqOptions(Quantized, LayerOptions):
    """A layer of HGQ2 that reads one tensor."""

    iq_conf: Options = None

    def constants(self, shape: Shape) -> Shapes:
        """Return the names and shapes of its own variables, in Keras' order, and those of the quantizers of them."""
        return self.ebops

    @abstractmethod
    def computed(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        """Return the layers between the quantizers.

        :param name: for these layers' names to begin with.
        """

    def result_shape(self, shape: Shape) -> Shape:
        """Return the shape of its output for an input of ``shape``."""
        return shape

    def outline(self, *inputs: SymbolicTensor) -> SymbolicTensor | None:
        (tensor,) = inputs
        return SymbolicTensor("", self.result_shape(tensor.shape))

    def arrays(self, shape: Shape) -> Shapes:
        before = variables_of(self.iq_conf, "iq", (1, *shape)) if self.enable_iq else {}
        return self.constants(shape) | before | self.output_variables(self.result_shape(shape))

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        before = [fixed_point(self.iq_conf, "iq", arrays).quantizer(f"{name}_iq")] if self.enable_iq else []
        after = self.output_quantizers(name, arrays)
        return named_last([*before, *self.computed(name, shape, arrays), *after], name)
