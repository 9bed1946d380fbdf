"""`verify` judges the outputs of the design by the task that the model was quantized for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import small_networks
from command_line import Outcome

from dnn2fpga import flow
from dnn2fpga.graph import files as config_files
from dnn2fpga.task import TaskKind, unlabelled_task
from dnn2fpga.work_folder import VERIFICATION

FRAMES = 6


@pytest.mark.simulation
@pytest.mark.usefixtures("simulator")
def test_every_position_counts(dnn2fpga: Callable[..., Outcome], tmp_path: Path) -> None:
    graph = small_networks.network((4, 4, 1), [3])
    graph = graph.decided_as(unlabelled_task(graph.interface, TaskKind.CLASSES_PER_POSITION))
    work = tmp_path / "work"
    work.mkdir()
    config_files.save(graph, work)
    flow.generate(work)
    x = np.random.default_rng(0).random((FRAMES, 4, 4, 1))
    y = graph.predict(x).argmax(axis=-1)
    wrong = 7
    y.reshape(-1)[:wrong] = (y.reshape(-1)[:wrong] + 1) % 3
    np.savez("pixels.npz", x=x, y=y)
    np.savez("other.npz", x=x, y=y + 3)
    assert dnn2fpga("verify", work, "--test", "pixels.npz").code == 0
    bulk = json.loads((work / VERIFICATION).read_text())["reports"][1]
    assert bulk["frames"] == FRAMES
    assert [*bulk["scores"].values()] == [{"measure": "accuracy", "value": (y.size - wrong) / y.size}]
    refused = dnn2fpga("verify", work, "--test", "other.npz")
    assert refused.code == 2
    assert "a label must be the number of an output, 0 to 2" in refused.err
