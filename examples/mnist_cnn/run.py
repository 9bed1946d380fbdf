"""The network of paper 002 (Tables 1 and 2) on MNIST: two Conv2D of twelve 3×3 filters, max-pooling, Dense 10.

    .venv/bin/python examples/mnist_cnn/run.py

Trains (Adam, batch 500, 10 epochs: a minute or two), quantizes to INT8 after training, generates the Verilog, streams
all 10,000 test images through the simulated design and compares every layer boundary, and writes ``results.md``. A
second run finds the trained model in ``work/``.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from datasets import mnist  # noqa: E402

from dnn2fpga import config_files, flow  # noqa: E402
from dnn2fpga.config import Quantization, Verification  # noqa: E402
from dnn2fpga.data import Data  # noqa: E402

WORK = HERE / "work"
EPOCHS, BATCH = 10, 500
PAPER = {"accuracy": "paper: 0.9655 → 0.9650", "size": "paper: 0.08 → 0.023 MB"}


def train(file: Path, x: np.ndarray, y: np.ndarray) -> None:
    from dnn2fpga.parse.keras_import import keras

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
    model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, verbose=2)
    file.parent.mkdir(parents=True, exist_ok=True)
    model.save(file)


def software_speed(x: np.ndarray) -> float:
    """Images a second of the integer model on one core."""
    code = (
        "import sys, time, numpy as np; from pathlib import Path; from dnn2fpga import config_files;"
        "q = config_files.load(Path(sys.argv[1])); x = np.load(sys.argv[2]); q.run(x[:64]);"
        "start = time.perf_counter(); q.run(x); print(len(x) / (time.perf_counter() - start))"
    )
    inputs = WORK / "inputs.npy"
    np.save(inputs, config_files.load(WORK).input.quantize(x))
    one_core = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, "-c", code, WORK, inputs], env=one_core, check=True, capture_output=True, text=True
    )
    return float(run.stdout)


def main() -> None:
    x, y, test_x, test_y = mnist()
    model = WORK / "mnist_cnn.keras"
    if not model.is_file():
        train(model, x, y)
    test = Data(test_x, test_y)

    result = flow.quantize(flow.read_model(model), Data(x[:1000], None), WORK, Quantization(), test)
    start = time.monotonic()
    manifest = flow.generate(WORK)
    generation_seconds = time.monotonic() - start

    start = time.monotonic()
    protocol, _ = flow.verify(WORK, test.first(10), Verification())  # builds both simulators
    build_seconds = time.monotonic() - start
    start = time.monotonic()
    _, bulk = flow.verify(WORK, test, Verification())
    bulk_seconds = time.monotonic() - start
    speed = software_speed(test_x)
    memory = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1e6

    sizes = f"{result.float_megabytes:.3f} → {result.integer_megabytes:.3f} MB"
    rows = [
        ("accuracy on 10,000 test images, float", f"{result.float_accuracy:.2%}", "≥ 98 %"),
        ("accuracy, INT8 integers, post-training only", f"{result.integer_accuracy:.2%}", PAPER["accuracy"]),
        ("model size, float → integer", sizes, PAPER["size"]),
        ("RTL: images compared, every boundary", f"{bulk.frames:,} ({bulk.beats_compared:,} beats)", "10,000"),
        ("RTL equal to the integer model", "yes" if bulk.passed else "NO", "yes"),
        ("latency predicted / measured", "{predicted} / {measured} cycles".format(**protocol.latency_cycles), "≤ 864"),
        (
            "interval predicted / measured",
            "{predicted} / {measured} cycles".format(**protocol.interval_cycles),
            "≤ 784",
        ),
        ("configuration files → Verilog bundle", f"{generation_seconds:.1f} s", "≤ 20 s"),
        ("building the simulators, stall tests", f"{build_seconds:.0f} s", ""),
        ("stall tests again and 10,000 images, once built", f"{bulk_seconds:.0f} s", "≤ 180 s"),
        ("integer software model, one core", f"{speed:,.0f} images/s", "≥ 2,000"),
        ("memory, largest process (with TensorFlow)", f"{memory:.2f} GB", ""),
    ]
    lines = ["# MNIST CNN of paper 002", "", "`python examples/mnist_cnn/run.py`, 2 cores", ""]
    lines += ["| | measured | goal |", "|---|---|---|"]
    lines += [f"| {what} | {value} | {goal} |" for what, value, goal in rows]
    lines += ["", "| layer | engine | first beat | last beat | interval (cycles) |", "|---|---|---|---|---|"]
    for b in manifest["boundaries"]:
        columns = (b["layer"], b["engine"], b["first_cycle"], b["last_cycle"], b["interval_cycles"])
        lines.append(f"| {' | '.join(map(str, columns))} |")
    text = "\n".join(lines) + "\n"
    print(text)
    (HERE / "results.md").write_text(text, encoding="utf-8")
    if not (protocol.passed and bulk.passed):
        sys.exit("\n".join([*protocol.messages, *bulk.messages]))


if __name__ == "__main__":
    main()
