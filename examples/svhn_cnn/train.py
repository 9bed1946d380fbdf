"""The network of Aarrestad et al. (Fig. 4, Table 1), half of its weights pruned, at 8 and at 7 bits.

    .venv/bin/python examples/svhn_cnn/train.py              # CIFAR-10 as JPEG; under an hour on two cores
    .venv/bin/python examples/svhn_cnn/train.py --data svhn  # the paper's own data, where they are present
    .venv/bin/python examples/svhn_cnn/train.py --quick      # a few minutes: same shapes and sparsity, less accurate

Three steps, each kept in ``work/`` (``work/quick``, ``work/svhn``) and found there by the next run: training in
floating point (``float.keras``), training with fewer and fewer weights (``pruning/``), and integers of 8 and of 7 bits,
trained again where rounding alone costs too much (``8_bits/``, ``7_bits/``: ``model.yaml`` and ``weights.npz``, ready
for ``dnn2fpga generate``). The table is printed and written to ``accuracy.md`` beside them; the first command's also
to ``results.md`` here.

As in the paper, no layer but the last has a bias, and pooling comes before batch normalization. So that the
normalization can go into the convolution all the same, its scales must not be negative: Keras' ``NonNeg``. A scale that
ends at 0 does no harm, for a constant channel is the same before and after a maximum.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from datasets import cifar10_jpeg, svhn  # noqa: E402
from reporting import markdown_table, show_progress  # noqa: E402

from dnn2fpga import flow  # noqa: E402
from dnn2fpga.data import Data  # noqa: E402
from dnn2fpga.graph import files as config_files  # noqa: E402
from dnn2fpga.graph.float import Graph  # noqa: E402
from dnn2fpga.optimize.channel_groups import with_weights  # noqa: E402
from dnn2fpga.optimize.checkpoints import Checkpoints, key_of  # noqa: E402
from dnn2fpga.optimize.post_training import Quantization  # noqa: E402
from dnn2fpga.optimize.pruning import PruningSettings, prune  # noqa: E402
from dnn2fpga.optimize.settings import Optimization, Stage, TrainingSettings  # noqa: E402
from dnn2fpga.task_reading import with_task  # noqa: E402

FILTERS, NEURONS, CLASSES = (16, 16, 24), (42, 64), 10
WIDTHS = (8, 7)
INPUT_BITS = 8
MAX_DROP = 0.5  # points below the pruned network that integers may lose before they are trained again
SPARSITY = 0.5
STAGES = (Stage.POST_TRAINING, Stage.TRAINING_AWARE)


@dataclass(frozen=True)
class Effort:
    """Epochs of each step, over all images and their copies."""

    floating: int
    pruning: int
    quantized: int


QUICK, FULL = Effort(2, 1, 1), Effort(20, 8, 4)
COPIES, FARTHEST = 3, 3  # of every photograph, and by how many pixels they are moved


def varied(data: Data) -> Data:
    """Every image as it is, and copies of it, moved a little and half of them mirrored."""
    rng = np.random.default_rng(1)
    around = ((0, 0), (FARTHEST, FARTHEST), (FARTHEST, FARTHEST), (0, 0))
    padded = np.pad(data.x, around, mode="edge")
    views = np.lib.stride_tricks.sliding_window_view(padded, data.x.shape[1:3], axis=(1, 2))
    x = [data.x]
    for _ in range(COPIES):
        down, right = rng.integers(2 * FARTHEST + 1, size=(2, len(data)))
        moved = np.moveaxis(views[np.arange(len(data)), down, right], 1, -1)
        mirror = rng.random(len(data)) < 0.5
        x.append(np.where(mirror[:, None, None, None], moved[:, :, ::-1], moved))
    return Data(np.concatenate(x), np.concatenate([np.asarray(data.y)] * len(x)))


def train_float(file: Path, data: Data, epochs: int) -> None:
    from dnn2fpga.keras_import import keras

    layers = keras.layers
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input(data.x.shape[1:])])

    def normalized() -> None:
        model.add(layers.BatchNormalization(gamma_constraint=keras.constraints.NonNeg()))
        model.add(layers.ReLU())

    for filters in FILTERS:
        model.add(layers.Conv2D(filters, 3, use_bias=False))
        model.add(layers.MaxPooling2D(2))
        normalized()
    model.add(layers.Flatten())
    for neurons in NEURONS:
        model.add(layers.Dense(neurons, use_bias=False))
        normalized()
    model.add(layers.Dense(CLASSES, activation="softmax"))
    batch = 128
    rate = keras.optimizers.schedules.CosineDecay(3e-3, epochs * -(-len(data) // batch), alpha=0.01)
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(data.x, data.y, batch_size=batch, epochs=epochs, verbose=2)
    file.parent.mkdir(parents=True, exist_ok=True)
    model.save(file)


def pruned(graph: Graph, data: Data, work: Path, epochs: int) -> Graph:
    """Set half of the weights of every layer to zero, a few more at a time (Aarrestad et al., section 6)."""
    settings = PruningSettings(sparsity=SPARSITY, schedule="polynomial", every=100, epochs=epochs)
    training = TrainingSettings(epochs=epochs, learning_rate=1e-3)
    checkpoints = Checkpoints(work, key_of(graph, (data,), (repr(settings), repr(training))))
    if finished := checkpoints.load_arrays("pruning", graph):
        return finished[0]
    result = prune(graph, data, settings, training, Quantization(), show_progress)
    checkpoints.save_arrays("pruning", result.graph, result.masks)
    return result.graph


@dataclass
class Quantized:
    bits: int
    stages: str  # which were tried, with what they reached
    accuracy: float
    zeros: dict[str, int]  # by layer


def quantized(graph: Graph, data: Data, test: Data, work: Path, bits: int, epochs: int) -> Quantized:
    """The zeros of the pruned graph stay; rounding adds some."""
    folder = work / f"{bits}_bits"
    training = TrainingSettings(epochs=epochs, learning_rate=5e-4)
    result = flow.quantize(
        graph,
        data,
        work=folder,
        test=test,
        quantization=Quantization(weight_bits=bits, activation_bits=bits, input_bits=INPUT_BITS),
        optimization=Optimization(max_drop=MAX_DROP, stages=STAGES, training=training),
        progress=show_progress,
    )
    layers: list[Any] = [layer for layer in config_files.load(folder).layers if hasattr(layer, "weights")]
    zeros = {layer.name: int((layer.weights == 0).sum()) for layer in layers}
    stages = ", ".join(f"{one.stage} {one.score:.2%}" for one in result.tries)
    return Quantized(bits, stages, result.integer_score or 0.0, zeros)


def report(title: str, of_float: float, of_pruned: float, sparse: Graph, found: list[Quantized]) -> list[str]:
    rows = [("float", "", f"{of_float:.2%}"), (f"float, {SPARSITY:.0%} zeros", "", f"{of_pruned:.2%}")]
    rows += [(f"{q.bits} bits, {SPARSITY:.0%} zeros", q.stages, f"{q.accuracy:.2%}") for q in found]
    layers = [(layer.name, layer.weights.size, int((layer.weights == 0).sum())) for layer in with_weights(sparse)]
    zeros = [
        (
            name,
            f"{size:,}",
            *(f"{size - n:,} ({n / size:.1%} zeros)" for n in (of_sparse, *(q.zeros[name] for q in found))),
        )
        for name, size, of_sparse in layers
    ]
    return [
        f"# The network of Aarrestad et al. on {title}",
        "",
        "`python examples/svhn_cnn/train.py`; in hardware: [hardware.md](hardware.md).",
        "",
        *markdown_table(("model", "stages", "accuracy"), rows),
        "",
        *markdown_table(("layer", "weights", "not zero: float", *(f"not zero: {q.bits} bits" for q in found)), zeros),
        "",
    ]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", choices=("cifar10", "svhn"), default="cifar10")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    work = HERE / "work"
    if arguments.data == "svhn":
        (data, test), title, work = svhn(), "SVHN", work / "svhn"
    else:
        (data, test), title = cifar10_jpeg(), "CIFAR-10 as lossy JPEG"
        data = varied(data)  # there are enough digits, and they must not be mirrored
    effort, work = (QUICK, work / "quick") if arguments.quick else (FULL, work)

    model = work / "float.keras"
    if not model.is_file():
        train_float(model, data, effort.floating)
    graph = with_task(flow.read_model(model), (data, test))
    sparse = pruned(graph, data, work, effort.pruning)
    found = [quantized(sparse, data, test, work, bits, effort.quantized) for bits in WIDTHS]
    outputs = [one.run(test.x) for one in (graph, sparse)]
    of_float, of_pruned = (graph.task.score(one, test.y, outputs[0]).value for one in outputs)
    lines = report(title, of_float, of_pruned, sparse, found)
    print("\n".join(lines))
    (work / "accuracy.md").write_text("\n".join(lines), encoding="utf-8")
    if work == HERE / "work":
        (HERE / "results.md").write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
