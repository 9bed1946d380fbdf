"""Graph → Graph: what needs no hardware of its own is folded into its neighbours. Every pass asks the layers;
none knows their kinds.
"""

from __future__ import annotations

from collections.abc import Callable

from dnn2fpga.errors import UserError
from dnn2fpga.graph.float import Graph
from dnn2fpga.layers.base import Layer
from dnn2fpga.task import Ending


def drop_identities(graph: Graph) -> Graph:
    """Dropout and other layers that do nothing at inference."""
    return graph.with_layers([layer for layer in graph.layers if not layer.is_identity])


def drop_final_softmax(graph: Graph) -> Graph:
    """A softmax in last place: the hardware gives the logits, their largest is the class."""
    decisions = [layer for layer in graph.layers if layer.ending is Ending.SOFTMAX]
    if misplaced := [layer for layer in decisions if layer is not graph.layers[-1]]:
        raise UserError([f"layer '{layer.name}' ({layer.kind}): built only as the last layer" for layer in misplaced])
    if not decisions:
        return graph
    last = decisions[0]
    outputs = "outputs are logits, the class is their argmax"
    if graph.output_shape[-1] == 1:
        outputs = (
            "over one number it is always 1, whatever the network computes; a sigmoid is what is meant for one output"
        )
    note = f"{last.kind} '{last.name}' is left out: {outputs}"
    return graph.with_layers(graph.layers[:-1], left_out=last.ending, notes=(*graph.notes, note))


def fold_affine(graph: Graph) -> Graph:
    """Batch normalization behind a layer with weights becomes part of the weights, also past a max pooling."""

    def fold(layer: Layer, next: Layer, past_maximum: bool) -> Layer | None:
        affine = next.as_affine()
        if affine and past_maximum:
            affine = affine.before_maximum()
        return layer.absorb_affine(affine) if affine else None

    return _absorb(graph, fold)


def fuse_clamps(graph: Graph) -> Graph:
    """ReLU becomes the clamp of the requantization in front of it, also past a max pooling: it never decreases."""

    def fuse(layer: Layer, next: Layer, past_maximum: bool) -> Layer | None:
        clamp = next.as_clamp()
        return layer.absorb_clamp(*clamp) if clamp else None

    return _absorb(graph, fuse)


Merge = Callable[[Layer, Layer, bool], Layer | None]  # a layer, one behind it, whether maxima are picked in between


def _absorb(graph: Graph, merge: Merge) -> Graph:
    """Merges layers into the nearest one in front that does more than picking the largest. What nobody takes stays
    behind the pooling, where there is less of it to compute.
    """
    layers: list[Layer] = []
    for layer in graph.layers:
        past = 0
        while past < len(layers) and layers[-1 - past].picks_largest:
            past += 1
        merged = merge(layers[-1 - past], layer, past > 0) if past < len(layers) else None
        if merged is None:
            layers.append(layer)
        else:
            layers[-1 - past] = merged
    return graph.with_layers(layers)


PASSES: tuple[Callable[[Graph], Graph], ...] = (drop_identities, drop_final_softmax, fold_affine, fuse_clamps)


def simplify(graph: Graph) -> Graph:
    """All passes in order; the function of the graph stays the same (but for a final softmax)."""
    for apply in PASSES:
        graph = apply(graph)
    if not graph.layers:
        raise UserError(
            f"model '{graph.name}': there is nothing to compute in hardware; it needs at least one layer that does"
        )
    return graph
