"""Train the ResNet-8 of MLPerf Tiny on CIFAR-10 as lossy JPEG, in floating point.

    .venv/bin/python examples/cifar10_resnet8/train.py   # about an hour on two cores; resumes where it was stopped

The topology is the one of the benchmark's image classification (Banbury et al. 2021, "MLPerf Tiny Benchmark"): a 3×3
convolution, three residual blocks of two 3×3 convolutions each with 16, 32 and 64 filters, the last two blocks with
stride 2 and a strided 1×1 convolution in the shortcut, average pooling and a dense layer. Writes ``work/float.keras``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from datasets import cifar10_jpeg  # noqa: E402

from dnn2fpga.data import Data  # noqa: E402
from dnn2fpga.keras_import import keras  # noqa: E402

WORK = HERE / "work"
MODEL = WORK / "float.keras"
FILTERS, CLASSES = (16, 32, 64), 10
EPOCHS, BATCH = 20, 128
WARM_UP, PEAK_RATE, MOMENTUM, WEIGHT_DECAY = 2, 0.1, 0.9, 2e-3  # epochs; the decay is multiplied by the learning rate
FARTHEST = 4  # pixels by which a picture is moved


def resnet8() -> Any:
    """The untrained network, 78,666 parameters."""
    layers = keras.layers

    def convolution(x: Any, filters: int, kernel: int = 3, strides: int = 1) -> Any:
        return layers.Conv2D(filters, kernel, strides=strides, padding="same", kernel_initializer="he_normal")(x)

    x = given = keras.Input((32, 32, 3))
    x = layers.ReLU()(layers.BatchNormalization()(convolution(x, FILTERS[0])))
    for filters in FILTERS:
        strides = 1 if filters == FILTERS[0] else 2
        y = layers.ReLU()(layers.BatchNormalization()(convolution(x, filters, strides=strides)))
        y = layers.BatchNormalization()(convolution(y, filters))
        if strides > 1:
            x = convolution(x, filters, kernel=1, strides=strides)
        x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.Flatten()(layers.AveragePooling2D(8)(x))
    return keras.Model(given, layers.Dense(CLASSES, activation="softmax")(x))


class Varied(keras.utils.PyDataset):  # type: ignore[misc]
    """Batches of moved pictures, half of them mirrored; the same ones for the same epoch, also when resumed."""

    def __init__(self, data: Data) -> None:
        super().__init__()
        around = ((0, 0), (FARTHEST, FARTHEST), (FARTHEST, FARTHEST), (0, 0))
        padded = np.pad(data.x, around, mode="reflect")
        self._views = np.lib.stride_tricks.sliding_window_view(padded, data.x.shape[1:3], axis=(1, 2))
        self._labels = np.asarray(data.y)
        self.begin(0)

    def begin(self, epoch: int) -> None:
        rng = np.random.default_rng((1, epoch))
        self._order = rng.permutation(len(self._labels))
        self._down, self._right = rng.integers(2 * FARTHEST + 1, size=(2, len(self._labels)))
        self._mirrored = rng.random(len(self._labels)) < 0.5

    def __len__(self) -> int:
        return len(self._labels) // BATCH

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        at = self._order[index * BATCH :][:BATCH]
        moved = np.moveaxis(self._views[at, self._down[at], self._right[at]], 1, -1)
        return np.where(self._mirrored[at, None, None, None], moved[:, :, ::-1], moved), self._labels[at]


def photographs() -> tuple[Data, Data]:
    """Training and test pictures, decoded once and kept in ``work/photographs.npz``."""
    file = WORK / "photographs.npz"
    if not file.is_file():
        parts = cifar10_jpeg()
        WORK.mkdir(parents=True, exist_ok=True)
        np.savez(file, *(one for part in parts for one in ((part.x * 256).astype(np.uint8), part.y)))
    with np.load(file) as archive:
        x, y, test_x, test_y = archive.values()
    return Data(x / np.float32(256), y), Data(test_x / np.float32(256), test_y)


def train(data: Data) -> None:
    keras.utils.set_random_seed(0)
    model, varied = resnet8(), Varied(data)
    steps = len(varied)
    rate = keras.optimizers.schedules.CosineDecay(
        PEAK_RATE / 10, (EPOCHS - WARM_UP) * steps, 1e-3, warmup_target=PEAK_RATE, warmup_steps=WARM_UP * steps
    )
    optimizer = keras.optimizers.SGD(rate, MOMENTUM, nesterov=True, weight_decay=WEIGHT_DECAY)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    begin: Callable[..., None] = lambda epoch, logs=None: varied.begin(epoch)  # noqa: E731
    model.fit(
        varied,
        epochs=EPOCHS,
        verbose=2,
        shuffle=False,
        callbacks=[
            keras.callbacks.BackupAndRestore(WORK / "training", delete_checkpoint=False),
            keras.callbacks.LambdaCallback(on_epoch_begin=begin),
        ],
    )
    model.save(MODEL)


def main() -> None:
    data, test = photographs()
    if not MODEL.is_file():
        train(data)
    model = keras.models.load_model(MODEL)
    right = (model.predict(test.x, 500, verbose=0).argmax(axis=1) == test.y).mean()
    print(f"{model.count_params():,} parameters, {right:.2%} of {len(test):,} test pictures right")


if __name__ == "__main__":
    main()
