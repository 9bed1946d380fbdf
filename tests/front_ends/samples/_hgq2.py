"""Training of an HGQ2 model, and a record of what it computes."""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from _common import deflate
from hgq.utils import trace_minmax

PACKAGES = ("HGQ2", "keras", "tensorflow")
tf.config.experimental.enable_op_determinism()


def train(model: keras.Model, frames: np.ndarray, labels: np.ndarray, epochs: int = 15, rate: float = 1e-2) -> None:
    """Train weights and widths; the integer bits of what wraps are set from half of the frames, so that others wrap."""
    model.compile(keras.optimizers.Adam(rate), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(frames, labels, epochs=epochs, batch_size=32, verbose=0)
    trace_minmax(model, frames[: len(frames) // 2], verbose=0)


def _quantizers(layer: keras.layers.Layer):
    """Name and `Quantizer` of each quantizer of a layer."""
    for role in ("iq", "kq", "bq", "oq"):
        if getattr(layer, f"enable_{role}", True):
            found = getattr(layer, role, None)
            several = found if isinstance(found, (list, tuple)) else getattr(found, "quantizers", None)
            if several is not None:
                yield from ((f"{role}{number}", each) for number, each in enumerate(several))
            elif found is not None:
                yield role, found


def record(model: keras.Model, x: np.ndarray) -> dict[str, np.ndarray]:
    """Save `model.keras` without the optimizer, load it again, and return what the loaded one computes.

    `t_<layer>` are outputs, `q_<layer>_iq` inputs behind the input quantizer, `qkernel_`, `qbias_` (of a batch
    normalization `qscale_`, `qoffset_`) quantized weights, `kif_<layer>_<quantizer>` sign, integer and fraction bits.
    """
    bare = keras.Model(model.inputs, model.outputs)
    bare.save("model.keras")
    if Path("model.keras").stat().st_size > 60_000:
        deflate("model.keras")
    loaded = keras.models.load_model("model.keras")
    arrays = {"x": x, "y": bare.predict(x, verbose=0), "y_reloaded": loaded.predict(x, verbose=0)}
    layers = loaded.layers[1:]
    values = keras.Model(loaded.inputs, [layer.output for layer in layers]).predict(x, verbose=0)
    inputs = keras.Model(loaded.inputs, [layer.input for layer in layers]).predict(x, verbose=0)
    for layer, value, read in zip(layers, values, inputs, strict=True):
        arrays[f"t_{layer.name}"] = value
        for name in ("qkernel", "qbias"):
            if getattr(layer, name, None) is not None:
                arrays[f"{name}_{layer.name}"] = np.array(getattr(layer, name))
        if hasattr(layer, "qscaler_and_qoffset"):
            scale, offset = layer.qscaler_and_qoffset
            arrays[f"qscale_{layer.name}"], arrays[f"qoffset_{layer.name}"] = np.array(scale), np.array(offset)
        several = read if isinstance(read, (list, tuple)) else [read]
        for role, quantizer in _quantizers(layer):
            bits = [np.broadcast_to(np.array(part), quantizer.bits.shape) for part in quantizer.quantizer.kif]
            arrays[f"kif_{layer.name}_{role}"] = np.stack(bits).astype(np.int8)
            if role.startswith("iq"):
                each = several[int(role[2:] or 0)]
                quantized = np.array(quantizer(each, training=False))
                arrays[f"q_{layer.name}_{role}"] = quantized
                far = np.mean(np.abs(quantized - each) > 2.0 ** -bits[2].min())
                print(f"  {layer.name} {role}: {far:.1%} far from the input")
    print("  reload equal", np.array_equal(arrays["y"], arrays["y_reloaded"]))
    return arrays
