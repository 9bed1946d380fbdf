"""A record of what a larq model computes."""

import _keras
import larq
import numpy as np
import tensorflow as tf

PACKAGES = ("larq", "tensorflow")


def record(keras, x: np.ndarray, traced: int | None = None) -> dict[str, np.ndarray]:
    """What `model.h5` and its layers compute, and `qk_<layer>...`: kernels as the layers use them."""
    model = keras.models.load_model("model.h5", compile=False)
    arrays = _keras.record(keras, model, x, traced)
    for layer in model.layers:
        for part in ("kernel", "depthwise_kernel", "pointwise_kernel"):
            kernel = getattr(layer, part, None)
            if kernel is not None:
                with larq.context.quantized_scope(True):
                    short = part.removesuffix("kernel").rstrip("_")
                    arrays["_".join(filter(None, ("qk", layer.name, short)))] = tf.convert_to_tensor(kernel).numpy()
    return arrays
