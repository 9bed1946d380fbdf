"""Graph → Graph: a model that brings its own integers, as one in floating point."""

from __future__ import annotations

from dnn2fpga.errors import UserError
from dnn2fpga.graph.float import Graph
from dnn2fpga.tensors.basics import Unsupported


def drop_quantizers(graph: Graph) -> Graph:
    """Leave out what rounds numbers. A quantizer without negative numbers leaves the ReLU that it also is; weights are
    those that the source has rounded.
    """
    dag, problems = graph.dag, []
    for node in graph.nodes:
        try:
            rest = node.layer.in_floating_point()
        except Unsupported as reason:
            problems.append(f"layer '{node.name}' ({node.layer.kind}): {reason}")
            continue
        dag = dag.without(node.name) if rest is None else dag.with_layer(node.name, rest)
    if problems:
        raise UserError(problems)
    return graph.with_dag(dag)
