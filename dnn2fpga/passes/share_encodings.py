"""Graph → Graph: requantizations where tensors that meet in the same lanes cannot have one encoding of their own."""

from __future__ import annotations

from dnn2fpga.graph.float import Graph
from dnn2fpga.layers.activation import Clamp
from dnn2fpga.layers.linear import UNLIMITED


def requantize_fixed_encodings(graph: Graph) -> Graph:
    """Insert a requantization where an input of the model, or a function of a fixed range, meets other tensors in a
    concatenation that demands one scale and zero point of all: it cannot be asked for them.
    """
    encodings = graph.encodings
    dag, notes = graph.dag, list(graph.notes)
    for node in graph.nodes:
        if len(node.inputs) == 1 or not node.layer.preserves_encoding:
            continue
        for name in dict.fromkeys(node.inputs):
            owner = _owner(graph, name)
            shared = owner in encodings.sharing(node.name) and len(encodings.owners(owner)) > 1
            if shared and _is_fixed(graph, owner):
                added = dag.unused(f"{node.name}_{name}_requantized")
                dag = dag.with_node_after(name, added, Clamp(added, *UNLIMITED), [node.name])
                reason = (
                    "is an input and keeps its own scale" if owner in graph.inputs else "has the range of a function"
                )
                notes.append(f"'{name}' is requantized for '{node.name}': '{owner}' {reason}")
    return graph.with_dag(dag, notes=tuple(notes))


def _owner(graph: Graph, tensor: str) -> str:
    """The tensor whose encoding one has; a concatenation is its own."""
    node = graph.dag.by_name.get(tensor)
    if node is None or not node.layer.preserves_encoding or len(node.inputs) > 1:
        return tensor
    return _owner(graph, node.inputs[0])


def _is_fixed(graph: Graph, tensor: str) -> bool:
    node = graph.dag.by_name.get(tensor)
    return node is None or node.layer.fixed_range
