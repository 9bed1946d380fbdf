"""Real data sets for the examples, found through ``DNN2FPGA_DATA`` (default: ``shared/data`` beside the checkout)."""

from __future__ import annotations

import gzip
import os
import sys
from pathlib import Path

import numpy as np

DATA = Path(os.environ.get("DNN2FPGA_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))

MNIST_FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)


def mnist(folder: str = "mnist") -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training images ``[60000, 28, 28, 1]`` in [0, 1], labels, test images ``[10000, ...]``, labels."""
    missing = [name for name in MNIST_FILES if not (DATA / folder / name).is_file()]
    if missing:
        sys.exit(
            f"error: {', '.join(missing)} not found in {DATA / folder}. Download the original MNIST files "
            "(for instance from https://ossci-datasets.s3.amazonaws.com/mnist/) into that folder, "
            "or set DNN2FPGA_DATA to the folder that holds them in a folder 'mnist'."
        )
    images, labels, test_images, test_labels = (_idx(DATA / folder / name) for name in MNIST_FILES)
    return _pixels(images), labels, _pixels(test_images), test_labels


def _idx(file: Path) -> np.ndarray:
    raw = gzip.decompress(file.read_bytes())
    dimensions = raw[3]
    shape = np.frombuffer(raw, ">u4", dimensions, offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def _pixels(images: np.ndarray) -> np.ndarray:
    return (images[..., np.newaxis] / 255).astype(np.float32)
