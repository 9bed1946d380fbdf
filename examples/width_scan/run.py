"""Aarrestad et al., Fig. 11 and 12 in small: accuracy against width, after training only and quantization-aware, from
16 bits down to ternary and binary; and the weight sets of the joint optimization paper, powers of two and sums of two
of them.

    .venv/bin/python examples/width_scan/run.py                # Fashion-MNIST, a quarter of an hour on two cores
    .venv/bin/python examples/width_scan/run.py --data mnist   # or svhn, where it is present

The network is the CNN of Tourad and Eleuldj with batch normalization (folded during training). Every point is an
integer model on all 10,000 test images. Writes ``results_<data>.md`` and ``widths_<data>.png``.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from datasets import fashion_mnist, mnist, svhn  # noqa: E402
from reporting import markdown_table, show_progress  # noqa: E402

from dnn2fpga import flow  # noqa: E402
from dnn2fpga.data import Data  # noqa: E402
from dnn2fpga.graph import files as config_files  # noqa: E402
from dnn2fpga.graph.float import Graph  # noqa: E402
from dnn2fpga.optimize.post_training import Quantization  # noqa: E402
from dnn2fpga.optimize.settings import Optimization  # noqa: E402
from rtl_lib.matrix.parallel.signed_digits import canonical_signed_digits  # noqa: E402

WORK = HERE / "work"
LOADERS = {"fashion_mnist": fashion_mnist, "mnist": mnist, "svhn": svhn}
EPOCHS = 8
INPUT_BITS = 8
TRAINING: dict[str, Any] = {"epochs": 2, "batch": 128, "learning_rate": 2e-3, "samples": 15_000}

# The horizontal axis: what the weights and the activations are. The last layer's output stays at 16 bits.
WIDTHS: dict[str, dict[str, Any]] = {
    **{str(bits): {"weight_bits": bits, "activation_bits": bits} for bits in (16, 8, 6, 5, 4, 3)},
    "ternary": {"weight_set": "ternary", "weight_bits": 2, "activation_bits": 2},
    "binary": {"weight_set": "binary", "weight_bits": 1, "activation_bits": 1},
}
SETS: dict[str, dict[str, Any]] = {
    **{f"integer, {bits} bits": {"weight_bits": bits, "activation_bits": 8} for bits in (3, 4, 5)},
    **{
        f"power of two, {bits} bits": {"weight_set": "power_of_two", "weight_bits": bits, "activation_bits": 8}
        for bits in (3, 4, 5)
    },
    **{
        f"additive power of two, {bits} bits": {
            "weight_set": "additive_power_of_two",
            "weight_bits": bits,
            "activation_bits": 8,
        }
        for bits in (4, 5, 6)
    },
    "ternary weights": {"weight_set": "ternary", "weight_bits": 2, "activation_bits": 8},
    "binary weights": {"weight_set": "binary", "weight_bits": 1, "activation_bits": 8},
}


@dataclass
class Point:
    """Percentages; digits are the non-zero signed ones of all weights together."""

    post_training: float
    trained: float
    differing: float
    kilobytes: float
    digits: int
    weights: int


def train_float(file: Path, data: Data) -> None:
    from dnn2fpga.keras_import import keras

    layers = keras.layers
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input(data.x.shape[1:])])
    for _ in range(2):
        model.add(layers.Conv2D(12, 3, use_bias=False))
        model.add(layers.BatchNormalization())
        model.add(layers.ReLU())
    for layer in (layers.MaxPooling2D(2), layers.Flatten(), layers.Dense(10, activation="softmax")):
        model.add(layer)
    model.compile(keras.optimizers.Adam(2e-3), "sparse_categorical_crossentropy")
    model.fit(data.x, data.y, batch_size=250, epochs=EPOCHS, verbose=2)
    file.parent.mkdir(parents=True, exist_ok=True)
    model.save(file)


def measure(folder: Path, graph: Graph, data: Data, test: Data, settings: dict[str, Any]) -> Point:
    quantization = Quantization(input_bits=INPUT_BITS, scales="free", calibration="mse", **settings)
    optimization = Optimization(stages=("ptq", "qat"), target_accuracy=1.0, training=TRAINING)
    start = time.monotonic()
    result = flow.quantize(
        graph,
        data,
        work=folder,
        test=test,
        quantization=quantization,
        optimization=optimization,
        progress=show_progress,
    )
    after, trained = result.tries
    model = config_files.load(folder / "stages" / "qat")
    weights = [layer.weights for layer in model.layers if hasattr(layer, "weights")]
    print(f"{folder.name}: {after.score:.2%} → {trained.score:.2%} in {time.monotonic() - start:.0f} s", flush=True)
    return Point(
        post_training=100 * after.score,
        trained=100 * trained.score,
        differing=100 * trained.differing_outputs,
        kilobytes=1e3 * trained.megabytes,
        digits=sum(int(np.abs(canonical_signed_digits(w)).sum()) for w in weights),
        weights=sum(w.size for w in weights),
    )


def table(points: dict[str, Point], of_float: float) -> list[str]:
    rows = [
        (
            name,
            f"{p.post_training:.2f}",
            f"{p.trained:.2f}",
            f"{of_float - p.trained:.2f}",
            f"{p.kilobytes:.1f}",
            f"{p.digits:,}",
            f"{p.digits / p.weights:.2f}",
            f"{p.differing:.3f}",
        )
        for name, p in points.items()
    ]
    heads = ("width", "post-training, %", "quantization-aware, %", "points below float", "kB", "non-zero digits")
    return markdown_table((*heads, "digits a weight", "trained ≠ integer, %"), rows)


def plot(file: Path, points: dict[str, Point], sets: dict[str, Point], of_float: float) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.5, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    for key, colour, label in (
        ("post_training", "#4477aa", "post-training"),
        ("trained", "#ee6677", "quantization-aware"),
    ):
        left.plot(list(points), [getattr(p, key) for p in points.values()], "o-", color=colour, label=label)
    left.axhline(of_float, color="#333333", linewidth=0.8, label="float")
    left.set_ylim(max(0, min(p.trained for p in points.values()) - 15), 100)
    left.set_xlabel("bits of weights and activations")
    left.set_ylabel("accuracy in %")
    kinds = {
        "integer": "#4477aa",
        "power of two": "#228833",
        "additive power of two": "#ccbb44",
        "ternary": "#aa3377",
        "binary": "#66ccee",
    }
    for kind, colour in kinds.items():
        own = [p for name, p in sets.items() if name.startswith(kind)]
        right.plot([p.digits / 1e3 for p in own], [p.trained for p in own], "o-", color=colour, label=kind)
    right.axhline(of_float, color="#333333", linewidth=0.8)
    right.set_xlabel("thousands of non-zero digits in all weights")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)
    figure.savefig(file, dpi=130, metadata={"Software": None})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", choices=LOADERS, default="fashion_mnist")
    name = parser.parse_args().data
    data, test = LOADERS[name]()
    work = WORK / name
    if not (work / "float.keras").is_file():
        train_float(work / "float.keras", data)
    graph = flow.read_model(work / "float.keras")
    of_float = 100 * float((graph.run(test.x).argmax(axis=1) == test.y).mean())

    def folder(title: str) -> Path:
        return work / title.replace(" ", "_").replace(",", "")

    points = {width: measure(folder(f"width {width}"), graph, data, test, s) for width, s in WIDTHS.items()}
    sets = {title: measure(folder(title), graph, data, test, s) for title, s in SETS.items()}
    plot(HERE / f"widths_{name}.png", points, sets, of_float)
    lines = [f"# Accuracy against width, {name}", "", f"`python examples/width_scan/run.py --data {name}`, 2 cores", ""]
    lines += [
        f"Float: {of_float:.2f} %. Every number is an integer model's on all {len(test):,} test images; input of "
        f"{INPUT_BITS} bits. Training after quantization: {TRAINING['epochs']} epochs on {TRAINING['samples']:,} "
        "images, ranges kept, one seed. `trained ≠ integer`: outputs in which trained network and integer model "
        "differ.",
        "",
        "## The same width for weights and activations (Aarrestad et al.)",
        "",
        *table(points, of_float),
        "",
        "## Weight sets, activations of 8 bits (the joint optimization paper)",
        "",
        *table(sets, of_float),
        "",
        f"![accuracy against width](widths_{name}.png)",
        "",
    ]
    (HERE / f"results_{name}.md").write_text("\n".join(lines), encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
