"""Graph → Graph: a model that brings its own integers, as one in floating point."""

from __future__ import annotations

from dnn2fpga.graph.float import Graph


def drop_quantizers(graph: Graph) -> Graph:
    """Leave out what rounds numbers. A quantizer without negative numbers leaves the ReLU that it also is; weights are
    those that the source has rounded.
    """
    dag = graph.dag
    for node in graph.nodes:
        rest = node.layer.in_floating_point()
        dag = dag.without(node.name) if rest is None else dag.with_layer(node.name, rest)
    return graph.with_dag(dag)
