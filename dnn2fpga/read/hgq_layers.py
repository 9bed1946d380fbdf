"""HGQ2's other layers, and the table of all that are supported."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, ClassVar, Literal

from pydantic import Field

from dnn2fpga.layers.base import Layer
from dnn2fpga.layers.extremum import Extremum
from dnn2fpga.layers.pass_through import Softmax
from dnn2fpga.layers.pooling import AveragePooling, GlobalAverage, MaxPooling, Pooling
from dnn2fpga.layers.product import Product
from dnn2fpga.layers.reshape import Reshape
from dnn2fpga.layers.weighted_sum import WeightedSum
from dnn2fpga.read.builder import SymbolicTensor
from dnn2fpga.read.hgq_linear import LINEAR_LAYERS
from dnn2fpga.read.hgq_options import HgqLayer, HgqOptions, Quantized, fixed_point, named_last, variables_of
from dnn2fpga.read.hgq_quantizers import Options, QuantizerOptions
from dnn2fpga.read.hgq_tables import QUnaryFunctionLUT
from dnn2fpga.read.keras_options import Arrays, KerasOptions, LayerOptions, Pair, Placement, Shapes, by_class
from dnn2fpga.tensors.basics import Shape, Unsupported


class QuantizerLayer(HgqLayer, LayerOptions):
    """A quantizer that stands alone."""

    stands_for: ClassVar[tuple[str, ...]] = ("hgq>Quantizer",)

    config: Options

    def arrays(self, shape: Shape) -> Shapes:
        return variables_of(self.config, "", (1, *shape))

    def outline(self, *inputs: SymbolicTensor) -> SymbolicTensor | None:
        return SymbolicTensor("", inputs[0].shape) if inputs else None

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        return [fixed_point(self.config, "", arrays).quantizer(name)]


class QSoftmax(HgqOptions):
    """In last place, where it is left out; the tables that HGQ2 computes it with are not read."""

    stands_for: ClassVar[tuple[str, ...]] = ("hgq>QSoftmax",)

    enable_iq: bool = False
    axes: list[int]

    def check_input(self, shape: Shape) -> None:
        if [axis % (len(shape) + 1) for axis in self.axes] != [len(shape)]:
            raise Unsupported(f"axes={self.axes}: only the last axis is supported")

    def computed(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        return [Softmax(f"{name}_softmax")]


# Pooling


class _ImageOptions(HgqOptions):
    ranks: ClassVar[tuple[int, ...]] = (3,)
    input_described: ClassVar[str] = "an image (rows, columns, channels)"

    data_format: Literal["channels_last"] | None = None

    @abstractmethod
    def pooling(self, name: str, shape: Shape) -> list[Layer]:
        """Return the layers that pool."""

    def computed(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        return self.pooling(f"{name}_pooled", shape)

    def result_shape(self, shape: Shape) -> Shape:
        result: Any = shape
        for layer in self.pooling("", shape):
            result = layer.output_shape(result)
        return tuple(result)


class _Pooling(_ImageOptions):
    kind: ClassVar[type[Pooling]]

    pool_size: Pair = (2, 2)
    strides: Pair | None = None
    padding: Literal["valid", "same"] = "valid"

    def pooling(self, name: str, shape: Shape) -> list[Layer]:
        return [self.kind(name, self.pool_size, self.strides or self.pool_size, self.padding)]


class QMaxPooling2D(_Pooling):
    stands_for: ClassVar[tuple[str, ...]] = ("hgq>QMaxPooling2D",)
    kind: ClassVar[type[Pooling]] = MaxPooling


class QAveragePooling2D(_Pooling):
    stands_for: ClassVar[tuple[str, ...]] = ("hgq>QAveragePooling2D",)
    kind: ClassVar[type[Pooling]] = AveragePooling


class QGlobalAveragePooling2D(_ImageOptions):
    stands_for: ClassVar[tuple[str, ...]] = ("hgq>QGlobalAveragePooling2D",)

    keepdims: bool = False

    def pooling(self, name: str, shape: Shape) -> list[Layer]:
        return [GlobalAverage(name, self.keepdims)]


class QGlobalMaxPooling2D(_ImageOptions):
    stands_for: ClassVar[tuple[str, ...]] = ("hgq>QGlobalMaxPooling2D",)

    keepdims: bool = False

    def pooling(self, name: str, shape: Shape) -> list[Layer]:
        rows, columns, _ = shape
        maximum = MaxPooling(name, (rows, columns), (rows, columns), "valid")
        return [maximum] if self.keepdims else [maximum, Reshape(f"{name}_vector", None)]


# Joins


class _Join(Quantized):
    """A layer that joins tensors, each of which it quantizes for itself."""

    iq_confs: list[Options] = Field(default_factory=list)

    @abstractmethod
    def joined(self, name: str, count: int) -> Layer:
        """Return the layer that joins ``count`` tensors."""

    def outline(self, *inputs: SymbolicTensor) -> SymbolicTensor | None:
        return SymbolicTensor("", inputs[0].shape) if inputs else None

    def add(self, at: Placement, *inputs: SymbolicTensor) -> SymbolicTensor:
        join = self.joined(f"{at.name}_joined", len(inputs))
        shape = join.output_shape(*(tensor.shape for tensor in inputs))
        quantizers = self._quantizers(len(inputs))
        shapes = self.ebops | self.output_variables(shape)
        for (place, options), tensor in zip(quantizers.items(), inputs, strict=False):
            shapes |= variables_of(options, place, (1, *tensor.shape))
        arrays = at.arrays(shapes)
        read = list(inputs)
        for k, (place, options) in enumerate(quantizers.items()):
            layer = fixed_point(options, place, arrays).quantizer(f"{at.name}_iq_{k}")
            read[k] = at.builder.add(layer, read[k])
        first, *after = named_last([join, *self.output_quantizers(at.name, arrays)], at.name)
        tensor = at.builder.add(first, *read)
        for following in after:
            tensor = at.builder.add(following, tensor)
        return tensor

    def _quantizers(self, count: int) -> dict[str, QuantizerOptions | None]:
        """The options of the quantizers of all inputs, by their places; none where it has no quantizers."""
        if self.enable_iq and len(self.iq_confs) != count:
            raise Unsupported(f"has {len(self.iq_confs)} input quantizers for {count} inputs")
        names = (f"quantizer_{k}" if k else "quantizer" for k in range(count))
        return {f"iq/quantizers/{name}": self.iq_confs[k] for k, name in enumerate(names)} if self.enable_iq else {}


class QAdd(_Join):
    stands_for: ClassVar[tuple[str, ...]] = ("hgq>QAdd",)

    def joined(self, name: str, count: int) -> Layer:
        return WeightedSum(name, (1.0,) * count)


class QSubtract(_Join):
    stands_for: ClassVar[tuple[str, ...]] = ("hgq>QSubtract",)

    def joined(self, name: str, count: int) -> Layer:
        if count != 2:
            raise Unsupported(f"reads {count} tensors; this kind of layer reads two")
        return WeightedSum(name, (1.0, -1.0))


class QAveragePow2(_Join):
    """The sum, divided by the power of two that is closest to the number of tensors."""

    stands_for: ClassVar[tuple[str, ...]] = ("hgq>QAveragePow2",)

    def joined(self, name: str, count: int) -> Layer:
        weight = 2.0 ** round(-math.log2(count))
        return WeightedSum(name, (weight,) * count)


class QMultiply(_Join):
    stands_for: ClassVar[tuple[str, ...]] = ("hgq>QMultiply",)

    def joined(self, name: str, count: int) -> Layer:
        if count != 2:
            raise Unsupported(f"multiplies {count} tensors; two are supported")
        return Product(name)


class QMaximum(_Join):
    stands_for: ClassVar[tuple[str, ...]] = ("hgq>QMaximum",)

    def joined(self, name: str, count: int) -> Layer:
        return Extremum(name, True)


class QMinimum(_Join):
    stands_for: ClassVar[tuple[str, ...]] = ("hgq>QMinimum",)

    def joined(self, name: str, count: int) -> Layer:
        return Extremum(name, False)


HGQ: dict[str, type[KerasOptions]] = {
    **LINEAR_LAYERS,
    **by_class(QuantizerLayer, QUnaryFunctionLUT, QSoftmax),
    **by_class(QMaxPooling2D, QAveragePooling2D, QGlobalAveragePooling2D, QGlobalMaxPooling2D),
    **by_class(QAdd, QSubtract, QAveragePow2, QMultiply, QMaximum, QMinimum),
}
