"""Graph → Graph: a model that brings its own integers, as one in floating point."""

from __future__ import annotations

import math
from collections.abc import Sequence

from dnn2fpga.errors import UserError
from dnn2fpga.graph.dag import Dag
from dnn2fpga.graph.float import Graph
from dnn2fpga.layers.base import Layer
from dnn2fpga.task import Ending
from dnn2fpga.tensors.basics import Unsupported


def drop_quantizers(graph: Graph) -> Graph:
    """Leave out what rounds numbers. What is left of a quantizer is the clamp to its range, where numbers may lie
    outside of it: a ReLU6, in many sources. Inputs are taken as they are; weights are those that the source rounded.

    :raises UserError: with everything that does more than round.
    """
    dag, problems = graph.dag, []
    curves = {tensor for name, tensor in graph.outputs.items() if graph.interfaces[name].ending is not Ending.LINEAR}
    for node in graph.nodes:
        try:
            rest = node.layer.in_floating_point(*_bounds(dag, dag.by_name[node.name].inputs))
        except Unsupported as reason:
            problems.append(f"layer '{node.name}' ({node.layer.kind}): {reason}")
            continue
        is_last = rest is not node.layer and node.name in curves  # the function before it stays the last layer
        dag = dag.without(node.name) if rest is None or is_last else dag.with_layer(node.name, rest)
    if problems:
        raise UserError(problems)
    return graph.with_dag(dag)


def _bounds(dag: Dag[Layer], tensors: Sequence[str]) -> tuple[float, float]:
    """The numbers between which those of tensors lie; those that enter the model are within all bounds."""
    nodes = [dag.by_name[name] for name in tensors if name in dag.by_name]
    each = [_bounds(dag, node.inputs) if node.layer.preserves_encoding else node.layer.bounds for node in nodes]
    return min((low for low, _ in each), default=math.inf), max((high for _, high in each), default=-math.inf)
