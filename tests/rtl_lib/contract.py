"""The contract of every operator: its component produces the integers of ``compute``, in the cycles of its timing
model, under any stalls.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from stream_bench import Run, run_component

from rtl_lib.core.operator import Operator
from rtl_lib.core.stream import StreamComponent
from rtl_lib.core.trace import trace_chain

STALLS = [(0.0, 0.0), (0.6, 0.0), (0.0, 0.6), (0.4, 0.4)]  # how often source and sink pause
FRAMES = 3


def random_input(operator: Operator, beats: int, seed: int) -> np.ndarray:
    """``[frames, beats, lanes]`` with the extremes of the format in it."""
    f = operator.input_beat.format
    rng = np.random.default_rng(seed)
    x = rng.integers(f.minimum, f.maximum, (FRAMES, beats, operator.input_beat.lanes), endpoint=True)
    x[0, 0, 0], x[-1, -1, -1] = f.minimum, f.maximum
    return x


def check_operator(operator: Operator, beats: int, seed: int = 0, x: np.ndarray | None = None, **options: Any) -> None:
    """Check a component against its operator; raise ``AssertionError`` at the first difference.

    :param x: default: any integers of the input format.
    :param options: of ``create``.
    """
    x = random_input(operator, beats, seed) if x is None else x
    frames = len(x)
    y = operator.compute(x).astype(np.int64)
    output_beats = y.shape[1]
    assert y.shape == (frames, output_beats, operator.output_beat.lanes)
    for source, sink in STALLS:
        run = run_component(
            operator.create(**options),
            x.reshape(-1, x.shape[2]),
            frames * output_beats,
            source_pause=source,
            sink_pause=sink,
            seed=seed,
        )
        assert run.outputs.tolist() == y.reshape(-1, y.shape[2]).tolist(), f"values, source {source}, sink {sink}"
        if source == sink == 0:
            check_cycles(operator.create(**options), beats, output_beats, run)


def check_cycles(component: StreamComponent, beats: int, output_beats: int, run: Run) -> None:
    """Check the first frame's cycles, at full speed, against the timing models."""
    models = [part.beat_model() for _, part in component.components("part")]
    entry, exit = trace_chain(models, [(0, beats), (len(models), output_beats)])
    taken, given = run.input_cycles, run.output_cycles
    assert taken[beats - 1] == entry.last_cycle
    assert (given[0], given[output_beats - 1]) == (exit.first_cycle, exit.last_cycle)
