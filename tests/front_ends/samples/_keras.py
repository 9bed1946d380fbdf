"""Training of a Keras model, Keras 2 and 3 alike, and a record of what its layers compute."""

import numpy as np
import tensorflow as tf

tf.config.experimental.enable_op_determinism()


def train(keras, model, frames: np.ndarray, labels: np.ndarray, from_logits: bool = True) -> None:
    model.compile(keras.optimizers.Adam(5e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits))
    model.fit(frames, labels, epochs=10, batch_size=32, verbose=0)


def record(keras, model, x: np.ndarray, traced: int | None = None) -> dict[str, np.ndarray]:
    """What a model computes: `y`, and `t_<layer>` of every layer for the first `traced` frames.

    Each operation runs by itself. `predict` compiles with XLA in Keras 3, which fuses the straight-through x + (q - x)
    of two quantizers with the sum behind them: the result leaves the grid by 6e-8, and ties are lost (`y_predict`).
    """
    layers = [layer for layer in model.layers if type(layer).__name__ != "InputLayer"]
    values = keras.Model(model.inputs, [layer.output for layer in layers])(x)
    arrays = {"x": x, "y": np.array(model(x)), "y_predict": model.predict(x, verbose=0)}
    print("  predict differs in", np.count_nonzero(arrays["y"] != arrays["y_predict"]), "of", arrays["y"].size)
    return arrays | {f"t_{layer.name}": np.array(value)[:traced] for layer, value in zip(layers, values, strict=True)}
