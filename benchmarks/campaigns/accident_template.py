"""The template of the folder in which every accident happens: a model, data, and work folders as the steps leave
them.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from .program import run
from .seeds import seeds

MODEL = "dense_tanh"  # of the seeds
STEPS = {
    "quantized": "quantize model.keras --data train.npz --test test.npz -o quantized",
    "generated": "generate generated",
}


def template(build: Path) -> Path:
    """Made once in ``build`` by the program itself: ``quantized`` after the first step, ``generated`` after two."""
    folder = build / "template"
    shutil.rmtree(folder, ignore_errors=True)
    work = folder / "work"
    work.mkdir(parents=True)
    model = next(one for one in seeds(build / "seeds") if MODEL in one.name)
    (work / "model.keras").write_bytes(model.content)
    rng = np.random.default_rng(0)
    for name, count in (("train", 64), ("test", 32)):
        x = rng.uniform(-1, 1, (count, *model.shape)).astype(np.float32)
        np.savez(work / f"{name}.npz", x=x, y=rng.integers(0, 3, count))
    for name, step in STEPS.items():
        if name == "generated":
            shutil.copytree(work / "quantized", work / name)
        outcome = run(step.split(), folder)
        if outcome.code:
            raise RuntimeError(f"the undisturbed '{step}' ends with {outcome.code}: {outcome.err}")
    return work
