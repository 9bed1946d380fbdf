"""Saving of a QKeras model (v3), and a record of what it computes (v3 and 0.9)."""

from pathlib import Path

import _keras
import numpy as np
from _common import deflate


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
    """What the model and its layers compute (see `_keras.record`), and its quantized weights."""
    arrays = _keras.record(keras, model, x)
    for layer in model.layers:
        arrays |= _weights(layer)
    return arrays
