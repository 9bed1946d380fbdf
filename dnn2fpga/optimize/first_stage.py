"""The first stage of the optimizer: post-training quantization as asked and, where that misses the target, what is
cheap to change, before layers are left out or trained. Everything here is chosen anew from one calibration run.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass
from typing import Any

from dnn2fpga.errors import UserError
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.optimize.post_training import Quantization, quantize
from dnn2fpga.optimize.problem import Candidate, Problem
from dnn2fpga.optimize.settings import Stage
from dnn2fpga.quantize.ranges import RangeMethod
from dnn2fpga.quantize.settings import Granularity, Symmetry
from dnn2fpga.tensors.tensor import Tensor

# Percent of the values that a percentile keeps: of ten thousand, a few outliers go; of a channel's thousand as well.
RARE, RARE_IN_A_CHANNEL = 99.9, 99.0


@dataclass(frozen=True)
class Change:
    """Other settings, tried together.

    :param group: of two changes of one group, the later replaces the earlier.
    :param decided_by: settings that forbid the change when the user gave one of them.
    """

    group: str
    what: str
    settings: dict[str, Any]
    decided_by: tuple[str, ...]

    def after(self, now: Quantization, given: Set[str]) -> Quantization | None:
        """``now`` with the change; None where the user, who gave the settings ``given``, has decided otherwise.

        What the user gave stays, also beside the change.
        """
        if given & {*self.decided_by} or now.input_bits >= self.settings.get("input_bits", 1 + now.input_bits):
            return None
        return now.model_copy(update={name: value for name, value in self.settings.items() if name not in given})


def _calibration(method: RangeMethod, what: str, **further: Any) -> Change:
    return Change("calibration", f"ranges by {what}", {"calibration": method, **further}, ("calibration",))


def _wider_input(bits: int) -> Change:
    return Change("width", f"input in {bits} bits", {"input_bits": bits}, ("input_bits",))


CHANGES = (  # in the order of what they cost in hardware
    # Nothing: other scales for the same codes.
    _calibration(RangeMethod.PERCENTILE, f"percentile {RARE:g}", percentile=RARE),
    _calibration(RangeMethod.MSE, "least squared error"),
    _calibration(RangeMethod.ENTROPY, "least divergence"),
    # Nothing: the first layer's weights take up the scales, its biases the zero point.
    Change(
        "input scales",
        "a scale per input channel",
        {"input_granularity": Granularity.PER_CHANNEL},
        ("input_granularity", "activation_granularity"),
    ),
    Change(
        "input scales",
        f"a scale per input channel by percentile {RARE_IN_A_CHANNEL:g}",
        {
            "input_granularity": Granularity.PER_CHANNEL,
            "input_calibration": RangeMethod.PERCENTILE,
            "input_percentile": RARE_IN_A_CHANNEL,
        },
        ("input_granularity", "activation_granularity", "input_calibration", "calibration"),
    ),
    Change(
        "input symmetry",
        "an asymmetric input",
        {"input_symmetry": Symmetry.ASYMMETRIC},
        ("input_symmetry", "activation_symmetry"),
    ),
    # A shift (with free scales a multiplier) of its own for every channel.
    Change(
        "activation scales",
        "a scale per channel of activations",
        {"activation_granularity": Granularity.PER_CHANNEL},
        ("activation_granularity",),
    ),
    # Wires of the input and adders of the first layer.
    _wider_input(12),
    _wider_input(16),
)


def post_training_candidates(problem: Problem) -> Iterator[Candidate]:
    """The model as asked, then one change after the other, each beside those that have raised the score before. What
    changes no number is not tried; the caller stops at the first model that is good enough.
    """
    best = _candidate(problem, quantize(problem.graph, problem.statistics, problem.quantization), "all layers")
    yield best
    tried, kept = [_tensors(best.model)], dict[str, str]()
    for change in CHANGES:
        settings = change.after(best.settings, problem.quantization.model_fields_set)
        if settings is None:
            continue
        try:
            model = quantize(problem.graph, problem.statistics, settings)
        except UserError:
            continue  # a layer cannot have it
        if _tensors(model) in tried:
            continue
        tried.append(_tensors(model))
        changes = kept | {change.group: change.what}
        candidate = _candidate(problem, model, ", ".join(changes.values()), settings)
        yield candidate
        if (candidate.result.score or 0) > (best.result.score or 0):
            best, kept = candidate, changes


def _candidate(problem: Problem, model: QuantizedGraph, what: str, settings: Quantization | None = None) -> Candidate:
    return problem.candidate(model, settings or problem.quantization, Stage.POST_TRAINING.value, what)


def _tensors(model: QuantizedGraph) -> list[Tensor]:
    """All that the changes change; the rest of the integers follows."""
    return [*model.inputs.values(), *(layer.output for layer in model.layers)]
