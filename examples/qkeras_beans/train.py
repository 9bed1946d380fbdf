"""Train a classifier of dry beans with QKeras: 16-64-32-32-7, the topology of the jet taggers.

    python examples/qkeras_beans/train.py    # in an environment of QKeras; a minute

Runs without dnn2fpga: needs Keras 3.15.1, qkeras-v3 1.2.1 and TensorFlow 2.21.0, and ``work/train.npz`` and
``work/test.npz``, which ``run.py`` or ``examples/datasets.py`` writes. Writes ``beans.keras`` and ``source.npz``: the
outputs of QKeras itself for the test beans, each layer computed by itself (`predict` compiles, and may lose ties).
"""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from qkeras import QActivation, QDense, quantized_bits, quantized_relu

HERE = Path(__file__).resolve().parent
WIDTHS, KINDS = (64, 32, 32), 7
EPOCHS, BATCH = 60, 128

tf.config.experimental.enable_op_determinism()


def network() -> keras.Model:
    """Inputs of 9 bits, weights of 6, activations of 5; no scale but powers of two."""
    weights, bias = (lambda: quantized_bits(6, 0, alpha=1.0)), (lambda: quantized_bits(8, 2, alpha=1.0))
    x = source = keras.Input((16,), name="features")
    x = QActivation(quantized_bits(9, 3, alpha=1.0), name="rounded")(x)
    for number, width in enumerate(WIDTHS, 1):
        x = QDense(width, kernel_quantizer=weights(), bias_quantizer=bias(), name=f"dense_{number}")(x)
        x = QActivation(quantized_relu(5, 2), name=f"relu_{number}")(x)
    return keras.Model(source, QDense(KINDS, kernel_quantizer=weights(), bias_quantizer=bias(), name="logits")(x))


def main() -> None:
    train, test = (np.load(HERE / "work" / f"{name}.npz") for name in ("train", "test"))
    keras.utils.set_random_seed(0)
    model, loss = network(), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    steps = EPOCHS * -(-len(train["x"]) // BATCH)
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(5e-3, steps)), loss)
    model.fit(train["x"], train["y"], batch_size=BATCH, epochs=EPOCHS, verbose=2)
    keras.Model(model.inputs, model.outputs).save(HERE / "beans.keras")  # without the optimizer
    outputs = np.array(keras.models.load_model(HERE / "beans.keras")(test["x"]))
    np.savez_compressed(HERE / "source.npz", outputs=outputs)
    print(f"{(outputs.argmax(axis=1) == test['y']).mean():.2%} of {len(outputs):,} test beans right")


if __name__ == "__main__":
    main()
