"""Graph → Graph: what needs no hardware of its own is folded into its neighbours. Every pass asks the layers;
none knows their kinds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

from dnn2fpga.errors import UserError
from dnn2fpga.graph.dag import Dag, Node
from dnn2fpga.graph.float import Graph
from dnn2fpga.layers.base import Layer
from dnn2fpga.passes.share_encodings import requantize_fixed_encodings
from dnn2fpga.task import Ending
from rtl_lib.image.window_schedule import Padding


def drop_identities(graph: Graph) -> Graph:
    """Leave out dropout and other layers that do nothing at inference."""
    dag = graph.dag
    for node in graph.nodes:
        if node.layer.is_identity:
            dag = dag.without(node.name)
    return graph.with_dag(dag)


def drop_final_softmax(graph: Graph) -> Graph:
    """Leave out a softmax at an output: the hardware produces the logits, their largest is the class."""
    softmaxes = [node for node in graph.nodes if node.layer.ending is Ending.SOFTMAX]
    if misplaced := [node for node in softmaxes if node.name not in graph.dag.outputs or graph.dag.readers(node.name)]:
        raise UserError(
            [f"layer '{node.name}' ({node.layer.kind}): is supported only as the last layer" for node in misplaced]
        )
    for node in softmaxes:
        outputs = "outputs are logits, the class is their argmax"
        if graph.shapes[node.name][-1] == 1:
            outputs = (
                "over one number it is always 1, whatever the network computes; a sigmoid is meant for a single output"
            )
        note = f"{node.layer.kind} '{node.name}' is left out: {outputs}"
        dag = graph.dag.without(node.name)
        left_out = {name: node.layer.ending for name, tensor in graph.outputs.items() if tensor == node.name}
        names = tuple(graph.outputs) if len(graph.outputs) > 1 else ()
        graph = graph.with_dag(dag, output_names=names, notes=(*graph.notes, note))
        graph = replace(graph, left_out={**graph.left_out, **(left_out if names else {dag.outputs[0]: Ending.SOFTMAX})})
    return graph


def require_own_outputs(graph: Graph) -> Graph:
    """Refuse outputs that are no tensors of their own, once what does nothing is left out.

    :raises UserError: with all of them.
    """
    problems = []
    leaving: dict[str, str] = {}
    for name, tensor in graph.outputs.items():
        if tensor in graph.inputs and graph.nodes:
            problems.append(f"the output '{name}' is the input '{tensor}', unchanged; leave it out of the outputs")
        elif tensor in leaving:
            problems.append(
                f"the outputs '{leaving[tensor]}' and '{name}' are one tensor in hardware, '{tensor}'; leave one out"
            )
        leaving.setdefault(tensor, name)
    if problems:
        raise UserError([f"model '{graph.name}': {problem}" for problem in problems])
    return graph


def fold_padding(graph: Graph) -> Graph:
    """Make zeros around an image part of the convolutions and poolings that read them.

    :raises UserError: with all that cannot be.
    """
    absorb = cache(lambda layer, padding, shape: layer.absorb_padding(padding, shape))  # a shared layer stays one
    dag, problems = graph.dag, []
    for name in (node.name for node in graph.nodes):
        node = dag.by_name[name]  # zeros before it may be part of it now
        padding = node.layer.as_padding()
        if padding is None:
            continue
        shape = graph.shapes[node.inputs[0]]
        merged = {reader.name: absorb(reader.layer, padding, shape) for reader in dag.readers(name)}
        refused = [f"'{reader}' reads them" for reader, layer in merged.items() if layer is None]
        refused += ["they are an output"] * (name in dag.outputs)
        if refused:
            problems.append(
                f"layer '{name}' ({node.layer.kind}): {_described(padding)} of zeros are added to {list(shape)}, and "
                f"{', '.join(refused)}; zeros are supported only before convolutions, and poolings with "
                "padding='valid', whose kernels are larger than the zeros on each side"
            )
            continue
        for reader, layer in merged.items():
            dag = dag.with_layer(reader, layer)
        dag = dag.without(name)
    if problems:
        raise UserError(problems)
    return graph.with_dag(dag)


def _described(padding: Padding) -> str:
    return f"{padding.top} + {padding.bottom} rows and {padding.left} + {padding.right} columns"


def fold_affine(graph: Graph) -> Graph:
    """Fold a batch normalization after a layer with weights into the weights, also past a max pooling."""

    def fold(layer: Layer, next: Layer, past_maximum: bool) -> Layer | None:
        affine = next.as_affine()
        if affine and past_maximum:
            affine = affine.before_maximum()
        return layer.absorb_affine(affine) if affine else None

    return _absorb(graph, fold)


def fuse_clamps(graph: Graph) -> Graph:
    """Fuse a ReLU into the clamp of the requantization before it, also past a max pooling: it never decreases."""

    # By value: a layer with a ReLU of its own after each of its uses stays one.
    absorb = cache(lambda layer, low, high: layer.absorb_clamp(low, high))

    def fuse(layer: Layer, next: Layer, past_maximum: bool) -> Layer | None:
        clamp = next.as_clamp()
        return absorb(layer, *clamp) if clamp else None

    return _absorb(graph, fuse)


Merge = Callable[[Layer, Layer, bool], Layer | None]  # a layer, one after it, whether maxima are picked in between


def _absorb(graph: Graph, merge: Merge) -> Graph:
    """Merge layers into the nearest one before that does more than picking the largest, as long as nobody else reads
    what lies between. What no layer absorbs stays after the pooling, where there is less of it to compute.
    """
    dag, merge = graph.dag, cache(merge)  # a layer in several nodes stays one
    for node in graph.nodes:
        target, past_maximum = _only_source(dag, node), False
        while target is not None and target.layer.commutes_with_monotone:
            target, past_maximum = _only_source(dag, target), True
        merged = merge(target.layer, node.layer, past_maximum) if target else None
        if target is not None and merged is not None:
            dag = dag.with_layer(target.name, merged).without(node.name)
    return graph.with_dag(dag)


def _only_source(dag: Dag[Layer], node: Node[Layer]) -> Node[Layer] | None:
    """The node that a node reads, where it reads one tensor, and nobody else does."""
    node = dag.by_name[node.name]
    if len(node.inputs) != 1 or dag.only_reader(node.inputs[0]) is None:
        return None
    return dag.by_name.get(node.inputs[0])


def order_inputs(graph: Graph) -> Graph:
    """Let every layer read its inputs in the order in which hardware reads them: a gate last."""

    def ordered(node: Node[Layer]) -> Node[Layer]:
        order = node.layer.input_order(*(graph.shapes[name] for name in node.inputs))
        return replace(node, inputs=tuple(node.inputs[k] for k in order))

    return graph.with_dag(replace(graph.dag, nodes=tuple(ordered(node) for node in graph.nodes)))


def name_layers(graph: Graph) -> Graph:
    """Let every layer have the name of the first node that it is in: one that was in several may have become two."""

    @cache
    def named(layer: Layer) -> Layer:
        first = next(node.name for node in graph.nodes if node.layer is layer)
        return layer if layer.name == first else replace(layer, name=first)

    return graph.mapped(lambda node: named(node.layer))


PASSES: tuple[Callable[[Graph], Graph], ...] = (
    drop_identities,
    drop_final_softmax,
    require_own_outputs,
    order_inputs,
    fold_padding,
    fold_affine,
    fuse_clamps,
    requantize_fixed_encodings,
    name_layers,
)


def simplify(graph: Graph) -> Graph:
    """All passes in order; the function of the graph stays the same (but for a final softmax)."""
    for apply in PASSES:
        graph = apply(graph)
    if not graph.layers:
        raise UserError(
            f"model '{graph.name}': there is nothing to compute in hardware; it needs at least one layer that does"
        )
    return graph
