"""Vaziri and Mohtasebi, Tables I and III: the 16-64-32-32-5 network, 75 % constant sparsity, then INT16, INT8, INT6 and
INT4.

    .venv/bin/python examples/jet_tagging/run.py            # some minutes on two cores
    .venv/bin/python examples/jet_tagging/run.py --all-jets # trains on the public jet set when OpenML can be reached

Two runs: (a) third-party jet taggers with label-free training: the float model teaches the sparse and quantized one
on inputs drawn between unlabelled calibration jets; judged on 1,024 real jets. (b) The same network trained from
scratch on the dry bean set, with labels. Writes ``results.md`` and ``widths.png``.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from datasets import DATA, all_jets, dry_bean, jets  # noqa: E402
from reporting import markdown_table, show_progress  # noqa: E402

from dnn2fpga import flow  # noqa: E402
from dnn2fpga.data import Data  # noqa: E402
from dnn2fpga.graph import files as config_files  # noqa: E402
from dnn2fpga.graph.float import Graph  # noqa: E402
from dnn2fpga.optimize.post_training import Quantization  # noqa: E402
from dnn2fpga.optimize.settings import Optimization  # noqa: E402

WORK = HERE / "work"
WIDTHS = (16, 8, 6, 4)
PAPER = {16: (76.23, 94.08), 8: (75.66, 93.76), 6: (75.13, 93.37), 4: (73.82, 92.33)}  # Table III
MOST_LOST = {16: 0.3, 8: 0.5, 6: 1.0, 4: 2.5}  # points
INPUT_BITS = 16  # the jets lie on a grid of 2^-10
SPARSITY = 0.75
CALIBRATION = 512  # unlabelled jets; the others are seen only when the result is judged
LABEL_FREE: dict[str, Any] = {
    "teacher": "float_model",
    "mix_inputs": True,
    "temperature": 1.0,
    "epochs": 1000,
    "batch": 256,
    "learning_rate": 5e-3,
    "validation": 0.0,
    "learn_ranges": True,
}
WITH_LABELS: dict[str, Any] = {"epochs": 60, "batch": 256, "learning_rate": 3e-3, "learn_ranges": True}


@dataclass
class Measured:
    """One width: percentages, and what became of the RTL."""

    bits: int
    accuracy: float
    auc: float
    unseen: float | None  # accuracy on the jets that calibration has not seen
    post_training: float
    zeros: float
    differing: float
    rtl: str
    latency: int


def probabilities(logits: np.ndarray) -> np.ndarray:
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def auc(logits: np.ndarray, y: np.ndarray) -> float:
    """Macro average of one class against the rest, in percent."""
    from sklearn.metrics import roc_auc_score

    return 100 * float(roc_auc_score(y, probabilities(logits), multi_class="ovr", average="macro"))


def percent(logits: np.ndarray, y: np.ndarray) -> float:
    return 100 * float((logits.argmax(axis=1) == y).mean())


def measure(
    name: str, bits: int, graph: Graph, data: Data, test: Data, training: dict[str, Any], sparsity: float | None
) -> Measured:
    folder = WORK / f"{name}_int{bits}"
    quantization = Quantization(
        weight_bits=bits, activation_bits=bits, input_bits=INPUT_BITS, scales="free", calibration="mse"
    )
    pruning = {"sparsity": sparsity, "epochs": training["epochs"]} if sparsity else {}
    optimization = Optimization(
        stages=("ptq", "qat"), target_accuracy=1.0, training=training, pruning=pruning
    )  # a target that is never reached: every stage is tried
    result = flow.quantize(
        graph,
        data,
        work=folder,
        test=test,
        quantization=quantization,
        optimization=optimization,
        progress=show_progress,
    )
    trained = next(one for one in result.tries if one.stage == "qat")
    model = config_files.load(folder / "stages" / "qat")
    with_best = config_files.load(folder)
    if model.weight_bits != with_best.weight_bits or trained.score != result.integer_score:
        config_files.save(model, folder)  # the trained model, also where rounding after training did better by chance
    logits = model.predict(test.x)
    flow.generate(folder)
    protocol, bulk = flow.verify(folder, test)
    zeros = [np.mean(layer.weights == 0) for layer in model.layers]
    sizes = [layer.weights.size for layer in model.layers]
    return Measured(
        bits=bits,
        accuracy=percent(logits, test.y),
        auc=auc(logits, test.y),
        unseen=percent(logits[CALIBRATION:], test.y[CALIBRATION:]) if data.y is None else None,
        post_training=100 * next(one.score for one in result.tries if one.stage == "ptq"),
        zeros=100 * float(np.average(zeros, weights=sizes)),
        differing=100 * trained.differing_outputs,
        rtl=f"{bulk.frames:,} equal" if protocol.passed and bulk.passed else "DIFFERENT",
        latency=protocol.latency_cycles["measured"],
    )


def train_float(file: Path, data: Data, classes: int) -> None:
    from dnn2fpga.keras_import import keras

    layers = keras.layers
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((16,)),
            *(layers.Dense(n, activation="relu") for n in (64, 32, 32)),
            layers.Dense(classes, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(2e-3), "sparse_categorical_crossentropy")
    stop = keras.callbacks.EarlyStopping(patience=12, restore_best_weights=True)
    order = np.random.default_rng(0).permutation(len(data))  # the file is sorted by kind, and Keras holds out its end
    x, y = data.x[order], data.y[order]
    model.fit(x, y, batch_size=256, epochs=120, validation_split=0.1, verbose=0, callbacks=[stop])
    file.parent.mkdir(parents=True, exist_ok=True)
    model.save(file)


def section(title: str, text: str, graph: Graph, test: Data, found: list[Measured], goals: bool) -> list[str]:
    logits = graph.run(test.x)
    of_float = percent(logits, test.y)
    rows = [("float, dense", "-", f"{of_float:.2f}", "-", f"{auc(logits, test.y):.2f}", "-", "-", "-", "-", "-", "-")]
    for m in found:
        rows.append(
            (
                f"INT{m.bits}",
                f"{m.post_training:.2f}",
                f"{m.accuracy:.2f}",
                "-" if m.unseen is None else f"{m.unseen:.2f}",
                f"{m.auc:.2f}",
                f"{of_float - m.accuracy:.2f}",
                f"≤ {MOST_LOST[m.bits]}" if goals else f"{PAPER[16][0] - PAPER[m.bits][0]:.2f} (from INT16)",
                f"{m.zeros:.1f}",
                f"{m.differing:.3f}",
                m.rtl,
                f"{m.latency}",
            )
        )
    heads = [
        "weights, activations",
        "post-training, %",
        "quantization-aware, %",
        "unseen half, %",
        "AUC, %",
        "points lost",
    ]
    heads += ["goal" if goals else "paper's loss", "zeros, %", "trained ≠ integer, %", "RTL", "cycles"]
    return [f"## {title}", "", text, "", *markdown_table(heads, rows), ""]


def plot(series: dict[str, tuple[float, list[Measured]]]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.4, 3.6), layout="constrained")
    axes = figure.subplots()
    for (name, (of_float, found)), colour in zip(series.items(), ("#4477aa", "#228833", "#ee6677"), strict=False):
        axes.plot([m.bits for m in found], [m.accuracy - of_float for m in found], "o-", color=colour, label=name)
    axes.plot(
        list(PAPER), [PAPER[b][0] - PAPER[16][0] for b in PAPER], "k:", label="Vaziri and Mohtasebi, from its INT16"
    )
    axes.axhline(0, color="#333333", linewidth=0.8)
    axes.set_xlabel("bits of weights and activations, 75 % sparse")
    axes.set_ylabel("accuracy - float, points")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7)
    figure.savefig(HERE / "widths.png", dpi=130, metadata={"Software": None})


def main() -> None:
    models = DATA.parent / "models" / "jets"
    dense_file, sparse_file = models / "jets_16_64_32_32_5_float.h5", models / "jets_16_64_32_32_5_pruned75.h5"
    if missing := [str(file) for file in (dense_file, sparse_file) if not file.is_file()]:
        sys.exit(f"error: {', '.join(missing)} not found: Keras models of github.com/Hector-Plata/hls4ml-tutorial")
    test = jets()
    unlabelled = Data(test.x[:CALIBRATION], None)
    dense, sparse = flow.read_model(dense_file), flow.read_model(sparse_file)
    ours = [measure("jets", bits, dense, unlabelled, test, LABEL_FREE, SPARSITY) for bits in WIDTHS]
    theirs = [measure("jets_pruned", bits, sparse, unlabelled, test, LABEL_FREE, None) for bits in WIDTHS]

    beans, bean_test = dry_bean()
    bean_model = WORK / "dry_bean.keras"
    if not bean_model.is_file():
        train_float(bean_model, beans, 7)
    bean_graph = flow.read_model(bean_model)
    of_beans = [measure("beans", bits, bean_graph, beans, bean_test, WITH_LABELS, SPARSITY) for bits in WIDTHS]

    lines = ["# Jet tagging, Vaziri and Mohtasebi", "", "`python examples/jet_tagging/run.py`, 2 cores", ""]
    text = (
        f"No labels anywhere in training: the float model teaches on inputs between {CALIBRATION} unlabelled jets, "
        "drawn anew for every batch. Judged on 1,024 real jets (one jet is 0.10 points; the standard error is 1.3), of "
        f"which the last {1024 - CALIBRATION} were never seen ('unseen half'). Inputs have {INPUT_BITS} bits."
    )
    lines += section("Jets, pruned here to 75 % without labels", text, dense, test, ours, True)
    text = "The same, from the model that its makers had pruned; its zeros stay. Losses are against that sparse model."
    lines += section("Jets, pruned by a third party", text, sparse, test, theirs, True)
    text = "Trained from scratch with labels: 10,888 beans, 7 kinds; judged on 2,723 others."
    lines += section("The same network on dry beans", text, bean_graph, bean_test, of_beans, False)
    series = {
        "jets, label-free": (percent(dense.run(test.x), test.y), ours),
        "jets, third party's pruning": (percent(sparse.run(test.x), test.y), theirs),
        "dry beans, with labels": (percent(bean_graph.run(bean_test.x), bean_test.y), of_beans),
    }
    if "--all-jets" in sys.argv and (public := all_jets()):
        train, held_out = public
        model = WORK / "all_jets.keras"
        if not model.is_file():
            train_float(model, train, 5)
        graph = flow.read_model(model)
        training = WITH_LABELS | {"epochs": 4, "batch": 1024}
        found = [measure("all_jets", bits, graph, train, held_out, training, SPARSITY) for bits in WIDTHS]
        lines += section("The public jet set", "Trained and judged on it, with labels.", graph, held_out, found, False)
        series["public jets, with labels"] = (percent(graph.run(held_out.x), held_out.y), found)
    plot(series)
    lines += ["![accuracy lost](widths.png)", ""]
    (HERE / "results.md").write_text("\n".join(lines), encoding="utf-8")
    print("\n".join(lines))
    if "DIFFERENT" in "\n".join(lines):
        sys.exit("RTL and integer model differ")


if __name__ == "__main__":
    main()
