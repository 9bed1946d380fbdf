"""BinaryDense and TernaryDense as the training repository of hls4ml's example models defines them.

Only what a file shows and what inference computes: names, keys of the configuration, rounding half to even, so that a
weight or an activation of 0 becomes -1 (binary), and 0.5 becomes 0 (ternary). Gradients pass straight through.
Source: Courbariaux et al., Binarized Neural Networks, arXiv:1602.02830, and B. Moons' QuantizedNeuralNetworks.
"""

import numpy as np
import tensorflow as tf

keras = tf.keras


def _through(value: tf.Tensor, rounded: tf.Tensor) -> tf.Tensor:
    return value + tf.stop_gradient(rounded - value)


def binary_tanh(x: tf.Tensor) -> tf.Tensor:
    """+1 above 0, else -1."""
    half = tf.clip_by_value(0.5 * x + 0.5, 0.0, 1.0)
    return 2 * _through(half, tf.round(half)) - 1


def ternary_tanh(x: tf.Tensor) -> tf.Tensor:
    """+1 above 0.5, -1 below -0.5, else 0."""
    clipped = tf.clip_by_value(x, -1.0, 1.0)
    return _through(clipped, tf.round(clipped))


class Clip(keras.constraints.Constraint):
    def __init__(self, min_value: float, max_value: float | None = None):
        self.min_value, self.max_value = min_value, -min_value if max_value is None else max_value

    def __call__(self, weights: tf.Tensor) -> tf.Tensor:
        return tf.clip_by_value(weights, self.min_value, self.max_value)

    def get_config(self) -> dict:
        return {"min_value": self.min_value, "max_value": self.max_value}


class BinaryDense(keras.layers.Dense):
    quantizer = staticmethod(binary_tanh)

    def __init__(self, units, H=1.0, kernel_lr_multiplier="Glorot", bias_lr_multiplier=None, **kwargs):
        super().__init__(units, **kwargs)
        self.H, self.kernel_lr_multiplier, self.bias_lr_multiplier = H, kernel_lr_multiplier, bias_lr_multiplier

    def build(self, shape):
        if self.H == "Glorot":
            self.H = float(np.float32(np.sqrt(1.5 / (int(shape[-1]) + self.units))))
        self.kernel_constraint = Clip(-self.H, self.H)
        self.kernel_initializer = keras.initializers.RandomUniform(-self.H, self.H)
        super().build(shape)

    def quantized_kernel(self) -> tf.Tensor:
        return self.H * self.quantizer(self.kernel / self.H)

    def call(self, inputs):
        product = tf.matmul(inputs, self.quantized_kernel())
        return self.activation(product + self.bias if self.use_bias else product)

    def get_config(self) -> dict:
        own = {"H": self.H, "kernel_lr_multiplier": self.kernel_lr_multiplier}
        return {**super().get_config(), **own, "bias_lr_multiplier": self.bias_lr_multiplier}


class TernaryDense(BinaryDense):
    quantizer = staticmethod(ternary_tanh)


OBJECTS = {
    "BinaryDense": BinaryDense,
    "TernaryDense": TernaryDense,
    "Clip": Clip,
    "binary_tanh": binary_tanh,
    "ternary_tanh": ternary_tanh,
}
