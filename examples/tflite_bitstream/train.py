"""Train a small CNN on handwritten digits, and convert it to TensorFlow Lite in int8.

    python examples/tflite_bitstream/train.py    # in an environment of TensorFlow; a minute

Runs without dnn2fpga: needs TensorFlow 2.21.0, Keras 3.15.1 and tflite-micro, and ``work/train.npz`` and
``work/test.npz``, which ``run.py`` or ``examples/datasets.py`` writes. Writes ``digits.tflite`` and ``source.npz``: the
codes that TensorFlow Lite Micro's interpreter computes for the test images.
"""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tflite_micro import runtime

HERE = Path(__file__).resolve().parent
MODEL = HERE / "digits.tflite"
EPOCHS, BATCH = 60, 64
CALIBRATION = 200  # images

tf.config.experimental.enable_op_determinism()


def network() -> keras.Model:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(8, 3, activation="relu"),
            layers.Conv2D(8, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(10),
        ]
    )


def convert(model: keras.Model, images: np.ndarray) -> bytes:
    """Return the file: int8 throughout, also at input and output."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image[None]] for image in images)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    return bytes(converter.convert())


def run(images: np.ndarray) -> np.ndarray:
    """Return the codes that the portable kernels of TensorFlow Lite Micro make of real images."""
    interpreter = runtime.Interpreter.from_file(str(MODEL))
    entering = interpreter.get_input_details(0)["quantization_parameters"]
    scale, zero = np.float32(entering["scales"][0]), int(entering["zero_points"][0])
    codes = np.clip(np.floor(images / scale + np.float32(0.5)) + zero, -128, 127).astype(np.int8)
    outputs = []
    for image in codes:
        interpreter.set_input(image[None], 0)
        interpreter.invoke()
        outputs.append(interpreter.get_output(0)[0].copy())
    return np.array(outputs)


def main() -> None:
    train, test = (np.load(HERE / "work" / f"{name}.npz") for name in ("train", "test"))
    keras.utils.set_random_seed(0)
    model, loss = network(), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(2e-3), loss)
    model.fit(train["x"], train["y"], batch_size=BATCH, epochs=EPOCHS, verbose=2)
    MODEL.write_bytes(convert(model, train["x"][:CALIBRATION]))
    outputs = run(test["x"])
    of_float = np.float64((model.predict(test["x"], verbose=0).argmax(axis=1) == test["y"]).mean())
    np.savez_compressed(HERE / "source.npz", outputs=outputs, float_accuracy=of_float)
    right = (outputs.argmax(axis=1) == test["y"]).mean()
    print(f"{of_float:.2%} in floating point, {right:.2%} in int8, of {len(outputs):,} test images right")


if __name__ == "__main__":
    main()
