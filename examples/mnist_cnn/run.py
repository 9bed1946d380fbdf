"""The network of Tourad and Eleuldj (Tables 1 and 2) on MNIST: two Conv2D of twelve 3×3 filters, max-pooling, Dense 10.

    .venv/bin/python examples/mnist_cnn/run.py

Trains (Adam, batch 500, 10 epochs), then runs the optimizer at 8, 6, 4, 3 and 2 bits, and once with its convolutions
left in IEEE binary32; generates the Verilog of each, streams test images through the simulated design and compares
every layer boundary; writes ``results.md`` and ``bits.png``. About half an hour on two cores; a second run finds the
trained model and the finished stages in ``work/``.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from datasets import mnist  # noqa: E402
from reporting import markdown_table, show_progress  # noqa: E402

from dnn2fpga import flow  # noqa: E402
from dnn2fpga.data import Data  # noqa: E402
from dnn2fpga.generate.manifest import Manifest  # noqa: E402
from dnn2fpga.graph import files as config_files  # noqa: E402
from dnn2fpga.graph.float import Graph  # noqa: E402
from dnn2fpga.optimize.post_training import Quantization  # noqa: E402
from dnn2fpga.optimize.result import QuantizationResult  # noqa: E402
from dnn2fpga.optimize.settings import Optimization  # noqa: E402
from dnn2fpga.verify.verifier import VerificationReport  # noqa: E402

WORK = HERE / "work"
EPOCHS, BATCH = 10, 500
DROPS = {8: 0.05, 6: 1.0, 4: 1.0, 3: 1.0, 2: 1.0}  # bits: points that may be lost
FLOAT_IMAGES = 20  # through the binary32 engines, which take a quarter of a million cycles for each


def train(file: Path, data: Data) -> None:
    from dnn2fpga.keras_import import keras

    layers = keras.layers
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(12, 3, activation="relu"),
            layers.Conv2D(12, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(data.x, data.y, batch_size=BATCH, epochs=EPOCHS, verbose=2)
    file.parent.mkdir(parents=True, exist_ok=True)
    model.save(file)


@dataclass
class Case:
    """One run of the whole way, and how long its steps took in seconds."""

    name: str
    result: QuantizationResult
    manifest: Manifest
    protocol: VerificationReport
    bulk: VerificationReport
    seconds: dict[str, float]

    @property
    def equal(self) -> bool:
        return self.protocol.passed and self.bulk.passed


def run(name: str, graph: Graph, data: Data, test: Data, images: int, **settings: Any) -> Case:
    folder, seconds = WORK / name.replace(" ", "_"), {}

    def timed(step: str, function: Any, *arguments: Any, **options: Any) -> Any:
        start = time.monotonic()
        value = function(*arguments, **options)
        seconds[step] = time.monotonic() - start
        return value

    result = timed("optimizing", flow.quantize, graph, data, work=folder, test=test, progress=show_progress, **settings)
    manifest = timed("generating", flow.generate, folder)
    timed("building", flow.verify, folder, test.sample(2))
    protocol, bulk = timed("simulating", flow.verify, folder, test.sample(images))
    return Case(name, result, manifest, protocol, bulk, seconds)


def software_speed(work: Path, x: np.ndarray) -> float:
    """Images a second of the integer model on one core."""
    code = (
        "import sys, time, numpy as np; from pathlib import Path; from dnn2fpga.graph import files as config_files;"
        "q = config_files.load(Path(sys.argv[1])); x = np.load(sys.argv[2]); q.run(x[:64]);"
        "start = time.perf_counter(); q.run(x); print(len(x) / (time.perf_counter() - start))"
    )
    inputs = work / "inputs.npy"
    np.save(inputs, config_files.load(work).input.quantize(x))
    one_core = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, "-c", code, work, inputs], env=one_core, check=True, capture_output=True, text=True
    )
    return float(run.stdout)


def main() -> None:
    data, test = mnist()
    model = WORK / "mnist_cnn.keras"
    if not model.is_file():
        train(model, data)
    graph = flow.read_model(model)

    cases = [
        run(
            f"{bits} bits",
            graph,
            data,
            test,
            len(test),
            quantization=Quantization(weight_bits=bits, activation_bits=bits, input_bits=bits),
            optimization=Optimization(max_drop=drop),
        )
        for bits, drop in DROPS.items()
    ]
    floating = run(
        "convolutions in binary32",
        graph,
        data,
        test,
        FLOAT_IMAGES,
        quantization=Quantization(weight_bits=4, activation_bits=4, input_bits=4),
        optimization=Optimization(
            max_drop=1.0, stages=("partial",), partial={"policy": "convolutions", "kept_as": "binary32"}
        ),
    )
    speed = software_speed(WORK / "8_bits", test.x)
    memory = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1e6
    text = "\n".join([*paper_table(cases[0], speed, memory), *bits_table([*cases, floating]), *layers_table(cases[0])])
    print(text)
    (HERE / "results.md").write_text(text, encoding="utf-8")
    plot(cases)
    if different := [case.name for case in [*cases, floating] if not case.equal]:
        sys.exit(f"RTL and integer model differ: {different}")


def paper_table(case: Case, speed: float, memory: float) -> list[str]:
    r, seconds = case.result, case.seconds
    rows = [
        ("accuracy on 10,000 test images, float", f"{r.float_score:.2%}", "≥ 98 %"),
        (
            f"accuracy, INT8 integers, by {r.stage}",
            f"{r.integer_score:.2%}",
            "paper: 0.9655 → 0.9650; drop ≤ 0.05 points",
        ),
        ("model size", f"{r.float_megabytes:.3f} → {r.integer_megabytes:.3f} MB", "paper: 0.08 → 0.023 MB"),
        (
            "RTL: images compared, every boundary",
            f"{case.bulk.frames:,} ({case.bulk.beats_compared:,} beats)",
            "10,000",
        ),
        ("RTL equal to the integer model", "yes" if case.equal else "NO", "yes"),
        (
            "latency predicted / measured",
            "{predicted} / {measured} cycles".format(**case.protocol.latency_cycles),
            "≤ 864",
        ),
        (
            "interval predicted / measured",
            "{predicted} / {measured} cycles".format(**case.protocol.interval_cycles),
            "≤ 784",
        ),
        ("configuration files → Verilog bundle", f"{seconds['generating']:.1f} s", "≤ 20 s"),
        ("stall tests, both simulators (built, or kept from an earlier run)", f"{seconds['building']:.0f} s", ""),
        ("stall tests again and 10,000 images, once built", f"{seconds['simulating']:.0f} s", "≤ 180 s"),
        ("integer software model, one core", f"{speed:,.0f} images/s", "≥ 2,000"),
        ("memory, largest process (with TensorFlow)", f"{memory:.2f} GB", ""),
    ]
    head = [
        "# MNIST CNN of Tourad and Eleuldj",
        "",
        "`python examples/mnist_cnn/run.py`, 2 cores",
        "",
        "## INT8, Table 2",
        "",
    ]
    return [*head, *markdown_table(("", "measured", "goal"), rows), ""]


def bits_table(cases: list[Case]) -> list[str]:
    rows = []
    for case in cases:
        r = case.result
        chosen = next(one for one in r.tries if (one.stage, one.score) == (r.stage, r.integer_score))
        rows.append(
            (
                case.name,
                ", ".join(f"{one.stage} {one.score:.2%}" for one in r.tries),
                f"{r.stage}: {chosen.what}",
                f"{r.integer_score:.2%}",
                f"{100 * (r.float_score - r.integer_score):.2f}",
                "yes" if r.met else "no",
                f"{r.float_megabytes / r.integer_megabytes:.1f}×",
                "-" if chosen.differing_outputs is None else f"{chosen.differing_outputs:.4%}",
                f"{case.bulk.frames:,} images: {'equal' if case.equal else 'DIFFERENT'}",
                "{measured:,}".format(**case.protocol.latency_cycles),
                "{measured:,}".format(**case.protocol.interval_cycles),
            )
        )
    heads = ("case", "tried", "which stage held", "accuracy", "points lost", "target", "smaller", "trained ≠ integer")
    heads = (*heads, "RTL = integer model", "latency", "interval")
    text = "Widths of weights, activations and input; the target is a drop of 0.05 points at 8 bits and 1 point below."
    more = "`trained ≠ integer`: fraction of outputs in which the trained network and the integer model differ."
    return [
        "## Fewer bits, and floating point",
        "",
        text,
        more,
        "",
        *markdown_table(heads, rows),
        "",
        "![bits](bits.png)",
        "",
    ]


def layers_table(case: Case) -> list[str]:
    rows = [(b.tensor, b.engine, b.first_cycle, b.last_cycle, b.interval_cycles) for b in case.manifest.boundaries]
    return [
        "## INT8, layer by layer",
        "",
        *markdown_table(("layer", "engine", "first beat", "last beat", "interval"), rows),
        "",
    ]


def plot(cases: list[Case]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.4), layout="constrained")
    axes = figure.subplots()
    bits = list(DROPS)
    for stage, colour in (("ptq", "#4477aa"), ("partial", "#228833"), ("qat", "#ee6677")):
        best = [max((t.score for t in case.result.tries if t.stage == stage), default=np.nan) for case in cases]
        axes.plot(bits, [100 * value for value in best], "o-", color=colour, label=stage)
    axes.axhline(100 * cases[0].result.float_score, color="#333333", linewidth=0.8, label="float")
    axes.set_xlabel("bits")
    axes.set_ylabel("accuracy in %")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(HERE / "bits.png", dpi=130, metadata={"Software": None})


if __name__ == "__main__":
    main()
