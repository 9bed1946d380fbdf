"""Graph → Graph: numbers are rounded before they are moved, so that what follows sums is computed on sums."""

from __future__ import annotations

from dataclasses import replace

from dnn2fpga.graph.dag import Dag, Node
from dnn2fpga.graph.float import Graph
from dnn2fpga.layers.base import Layer
from dnn2fpga.layers.quantizer import Quantizer


def round_early(graph: Graph) -> Graph:
    """Put a quantizer before the layers that only move numbers or pick the largest (``flatten``, a max pooling), where
    a function of sums is before those: sums would else have to be kept with all their bits.

    The last of these layers gets the quantizer's name, as its tensor is the quantizer's. What the others produced
    before is no tensor of the graph any more.
    """
    dag = graph.dag
    for name in (node.name for node in graph.nodes if node.layer.kind == Quantizer.kind):
        quantizer = dag.by_name[name]
        chain = _chain(dag, quantizer)
        if chain and (rounded := quantizer.layer.in_lanes(graph.shapes[chain[0].inputs[0]][-1])) is not None:
            dag = _exchanged(dag, chain, quantizer, rounded)
    return graph.with_dag(dag)


def _chain(dag: Dag[Layer], quantizer: Node[Quantizer]) -> list[Node[Layer]]:
    """The layers that the quantizer may be put before, the first one first; none where that is of no use."""
    chain: list[Node[Layer]] = []
    (source,) = quantizer.inputs
    while (node := dag.by_name.get(source)) and node.layer.may_follow(quantizer.layer) and dag.only_reader(source):
        chain.insert(0, node)
        (source,) = node.inputs
    is_lost = node is not None and node.layer.on_sums and node.layer.kind != Quantizer.kind
    return chain if is_lost and dag.only_reader(source) else []


def _exchanged(dag: Dag[Layer], chain: list[Node[Layer]], quantizer: Node[Layer], layer: Layer) -> Dag[Layer]:
    early = dag.unused(f"{chain[0].name}_{quantizer.name}")
    names = [*(dag.unused(f"{node.name}_rounded") for node in chain[:-1]), quantizer.name]
    moved = {
        node.name: Node(name, replace(node.layer, name=name), (source,))
        for node, name, source in zip(chain, names, [early, *names], strict=False)
    }
    rounded = Node(early, replace(layer, name=early), chain[0].inputs)
    nodes: list[Node[Layer]] = []
    for node in dag.nodes:
        nodes += [rounded] * (node is chain[0])
        nodes += [moved.get(node.name, node)] * (node is not quantizer)
    return Dag(dag.inputs, tuple(nodes), dag.outputs)
