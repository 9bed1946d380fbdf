"""Partial quantization: some layers stay out (the second step of Tourad and Eleuldj, Algorithm 1).

Which ones is a policy: the paper's (all convolutions), or by measured sensitivity, the cheapest set first that should
reach the target. What "out" means is a setting: a wider fixed point, or IEEE binary32 between integers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

from dnn2fpga.errors import UserError
from dnn2fpga.optimize.post_training import Quantization, quantize
from dnn2fpga.optimize.problem import Candidate, Problem
from dnn2fpga.optimize.settings import PartialSettings, Stage
from dnn2fpga.quantize.settings import Numbers

MOST_SUBSETS_OF = 10  # layers; of more, only the most sensitive ones first are tried together


def partial_candidates(problem: Problem, settings: PartialSettings, start: Quantization) -> Iterator[Candidate]:
    """Yield candidates in the order in which they should be attempted; the caller stops at the first that is good
    enough.

    :param start: the settings of what is not left out.
    """
    for kept_out in _sets(problem, settings, start):
        changed = start.with_layers(dict.fromkeys(kept_out, out_of_quantization(settings)))
        model = quantize(problem.graph, problem.statistics, changed)
        as_what = "binary32" if settings.kept_as == "binary32" else f"{settings.bits} bits"
        yield problem.candidate(model, changed, Stage.PARTIAL.value, f"{', '.join(kept_out)} in {as_what}", kept_out)


def out_of_quantization(settings: PartialSettings) -> dict[str, Any]:
    """The layer settings that "out" stands for."""
    if settings.kept_as == "binary32":
        return {"numbers": Numbers.BINARY32, "activation_bits": settings.bits}
    # Whatever set the weights were of, here they are plain integers.
    return {"weight_bits": settings.bits, "activation_bits": settings.bits, "weight_set": "integer"}


def _sets(problem: Problem, settings: PartialSettings, start: Quantization) -> Iterator[tuple[str, ...]]:
    nodes = [node for node in problem.graph.nodes if node.layer.has_weights]
    if settings.policy == "convolutions":
        chosen = tuple(node.name for node in nodes if node.layer.is_convolution)
        if not chosen:
            raise UserError("partial.policy 'convolutions': the model has no convolution; use 'sensitivity'")
        yield chosen
        return
    lost = sensitivity(problem, settings, start)
    size = {node.name: node.layer.parameter_count for node in nodes}
    yield from cheapest_first(lost, size, _allowed_loss(problem))[: settings.most_tries]


def sensitivity(problem: Problem, settings: PartialSettings, start: Quantization) -> dict[str, float]:
    """Return by layer the score that is lost when only this layer is quantized as asked and all others have
    ``settings.bits``.
    """
    names = [node.name for node in problem.graph.nodes if node.layer.has_weights]
    wide = settings.model_copy(update={"kept_as": "fixed_point"})
    results: dict[str, float] = {}
    everything_out = _score(problem, names, wide, start)
    for index, name in enumerate(names):
        problem.progress("measuring sensitivity", index, len(names))
        results[name] = everything_out - _score(problem, [other for other in names if other != name], wide, start)
    problem.progress("measuring sensitivity", len(names), len(names))
    return results


def _score(problem: Problem, kept_out: list[str], settings: PartialSettings, start: Quantization) -> float:
    changed = start.with_layers(dict.fromkeys(kept_out, out_of_quantization(settings)))
    return problem.measured("sensitivity", quantize(problem.graph, problem.statistics, changed), settings.samples)


def _allowed_loss(problem: Problem) -> float:
    of_float = problem.float_score.value if problem.float_score else 1.0
    wanted = problem.target.wanted(of_float)
    return 0.0 if wanted is None else of_float - wanted


def cheapest_first(lost: Mapping[str, float], size: Mapping[str, int], allowed: float) -> list[tuple[str, ...]]:
    """Sets of layers to keep out: first those with which the losses of the others should add up to no more than
    ``allowed``, fewest parameters first; then the rest, by what they should lose. Never all layers: that would be
    no quantization.
    """
    ranked = sorted(lost, key=lambda name: -lost[name])
    if len(ranked) <= MOST_SUBSETS_OF:
        subsets = [s for count in range(1, len(ranked)) for s in combinations(ranked, count)]
    else:
        subsets = [tuple(ranked[:count]) for count in range(1, len(ranked))]

    def order(subset: tuple[str, ...]) -> tuple[bool, float, float]:
        remaining = sum(max(lost[name], 0.0) for name in lost if name not in subset)
        cost = sum(size[name] for name in subset)
        missed = remaining > allowed
        return (missed, remaining if missed else cost, cost)

    return sorted(subsets, key=order)
