"""The networks of the board examples: trained where they are not there yet."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from dnn2fpga import flow
from dnn2fpga.cli.demo import prepare
from dnn2fpga.data import Data, load_data

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from datasets import mnist  # noqa: E402 - needs the path above
from reporting import show_progress  # noqa: E402

EPOCHS = {"digits_dense": 60, "mnist_cnn": 10}


@dataclass(frozen=True)
class Model:
    """A Keras file, and what it was trained and is judged on."""

    keras: Path
    train: Data
    test: Data


def digits_cnn(folder: Path) -> Model:
    """The demo's: two Conv2D of eight 3×3 filters, 8×8 pixels, 1,437 images of scikit-learn."""
    prepared = prepare(folder, show_progress)
    graph = flow.read_model(prepared.model)
    return Model(prepared.model, *(load_data(file, graph) for file in (prepared.train, prepared.test)))


def digits_dense(folder: Path) -> Model:
    """The same images, a pixel at a time, through Dense 24 and Dense 10: small enough for the smallest FPGAs."""
    images = digits_cnn(folder)
    return Model(_trained(folder / "digits_dense.keras", images.train, 64), images.train, images.test)


def mnist_cnn(folder: Path) -> Model:
    """Train the network of Tourad and Eleuldj: two Conv2D of twelve 3×3 filters, max-pooling, Dense 10."""
    train, test = mnist()
    return Model(_trained(folder / "mnist_cnn.keras", train, 500), train, test)


def _trained(file: Path, data: Data, batch: int) -> Path:
    if file.is_file():
        return file
    from dnn2fpga.keras_import import keras

    keras.utils.set_random_seed(0)
    model = keras.Sequential(_LAYERS[file.stem]())
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(data.x, data.y, batch_size=batch, epochs=EPOCHS[file.stem], verbose=2)
    file.parent.mkdir(parents=True, exist_ok=True)
    model.save(file)
    return file


def _dense_layers() -> list:
    from dnn2fpga.keras_import import keras

    layers = keras.layers
    dense = [layers.Dense(24, activation="relu"), layers.Dense(10, activation="softmax")]
    return [keras.Input((8, 8, 1)), layers.Flatten(), *dense]


def _mnist_layers() -> list:
    from dnn2fpga.keras_import import keras

    layers = keras.layers
    return [
        keras.Input((28, 28, 1)),
        layers.Conv2D(12, 3, activation="relu"),
        layers.Conv2D(12, 3, activation="relu"),
        layers.MaxPooling2D(2),
        layers.Flatten(),
        layers.Dense(10, activation="softmax"),
    ]


_LAYERS = {"digits_dense": _dense_layers, "mnist_cnn": _mnist_layers}
