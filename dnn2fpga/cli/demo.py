"""The demo's model and data: scikit-learn's handwritten digits (1,797 images of 8×8 pixels, in the package, no
download).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dnn2fpga.files.atomic import added_files
from dnn2fpga.progress import Progress

EPOCHS = 30
TRAINING = 1437  # of 1,797: four fifths


@dataclass(frozen=True)
class Prepared:
    model: Path
    train: Path
    test: Path


def prepare(folder: Path, progress: Progress) -> Prepared:
    """Train a small CNN in seconds and write model and data into ``folder``; a second call finds them there."""
    prepared = Prepared(folder / "digits.keras", folder / "train.npz", folder / "test.npz")
    if all(path.is_file() for path in vars(prepared).values()):
        return prepared
    from sklearn.datasets import load_digits

    digits = load_digits()
    x = (digits.images[..., np.newaxis] / 16).astype(np.float32)
    y = digits.target
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order], y[order]
    with added_files(folder) as new:
        _train(x[:TRAINING], y[:TRAINING], new / prepared.model.name, progress)
        np.savez_compressed(new / prepared.train.name, x=x[:TRAINING], y=y[:TRAINING])
        np.savez_compressed(new / prepared.test.name, x=x[TRAINING:], y=y[TRAINING:])
    return prepared


def _train(x: np.ndarray, y: np.ndarray, file: Path, progress: Progress) -> None:
    from dnn2fpga.keras_import import keras

    layers = keras.layers
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(8, 3, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Conv2D(8, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(0.1),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    report = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: progress("training", epoch + 1, EPOCHS))
    progress("training", 0, EPOCHS)
    model.fit(x, y, batch_size=64, epochs=EPOCHS, verbose=0, callbacks=[report])
    model.save(file)
