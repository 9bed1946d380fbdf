"""Training of a QKeras model (v3 and 0.9), and a record of what it computes."""

from pathlib import Path

import numpy as np
import tensorflow as tf
from _common import deflate

tf.config.experimental.enable_op_determinism()


def train(keras, model, frames: np.ndarray, labels: np.ndarray, epochs: int = 10, rate: float = 5e-3) -> None:
    model.compile(keras.optimizers.Adam(rate), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(frames, labels, epochs=epochs, batch_size=32, verbose=0)


def save(keras, model) -> None:
    """Save `model.keras` and `model.h5` without the optimizer."""
    bare = keras.Model(model.inputs, model.outputs)
    bare.save("model.keras")
    bare.save("model.h5")
    if Path("model.keras").stat().st_size > 40_000:
        deflate("model.keras")


def _weights(layer) -> dict[str, np.ndarray]:
    """`qk_`, `qb_` of a layer, what multiplies and what is added; `scale_` where the quantizer computed one."""
    quantizer = getattr(layer, "depthwise_quantizer_internal", None) or getattr(
        layer, "kernel_quantizer_internal", None
    )
    if quantizer is None:
        return {}
    if hasattr(layer, "get_folded_weights"):
        kernel, bias = layer.get_folded_weights()
    else:
        kernel = layer.depthwise_kernel if hasattr(layer, "depthwise_kernel") else layer.kernel
        bias = layer.bias
    found = {f"qk_{layer.name}": np.array(quantizer(kernel))}
    if getattr(quantizer, "scale", None) is not None:
        found[f"scale_{layer.name}"] = np.array(quantizer.scale, np.float32)
    if bias is not None:
        rounded = layer.bias_quantizer_internal
        found[f"qb_{layer.name}"] = np.array(bias if rounded is None else rounded(bias))
    return found


def record(keras, model, x: np.ndarray) -> dict[str, np.ndarray]:
    """What a model computes: `y`, `t_<layer>` of every layer, and its quantized weights.

    Each operation runs by itself. `predict` compiles with XLA in Keras 3, which fuses the straight-through x + (q - x)
    of two quantizers with the sum behind them: the result leaves the grid by 6e-8, and ties are lost (`y_predict`).
    """
    layers = model.layers[1:]
    values = [np.array(value) for value in keras.Model(model.inputs, [layer.output for layer in layers])(x)]
    arrays = {"x": x, "y": np.array(model(x)), "y_predict": model.predict(x, verbose=0)}
    print("  predict differs in", np.count_nonzero(arrays["y"] != arrays["y_predict"]), "of", arrays["y"].size)
    for layer, value in zip(layers, values, strict=True):
        arrays[f"t_{layer.name}"] = value
        arrays.update(_weights(layer))
    return arrays
