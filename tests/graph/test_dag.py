"""The graph below both networks."""

from __future__ import annotations

import pytest

from dnn2fpga.graph.dag import Dag, Node


def diamond() -> Dag[int]:
    """``b`` and ``c`` read ``a``; ``d`` reads both."""
    nodes = (Node("a", 1, ("x",)), Node("b", 2, ("a",)), Node("c", 3, ("a",)), Node("d", 4, ("b", "c")))
    return Dag(("x",), nodes, ("d",))


@pytest.mark.parametrize(
    ("inputs", "nodes", "outputs", "message"),
    [
        (("x",), (Node("a", 0, ("y",)),), ("a",), "'a' reads 'y', which does not exist; nothing reads 'x'"),
        (("x",), (Node("a", 0, ("b",)), Node("b", 0, ("x",))), ("a",), "'a' reads 'b', which comes after it"),
        (("x",), (Node("a", 0, ("x",)), Node("a", 0, ("x",))), ("a",), "the name 'a' is used 2 times"),
        (("x",), (Node("a", 0, ("x",)), Node("b", 0, ("x",))), ("a",), "nothing reads 'b'"),
        (("x",), (Node("a", 0, ("x",)),), ("a", "b"), "the output 'b' does not exist"),
        (("x",), (Node("a", 0, ()),), ("a",), "'a' reads nothing"),
        (("x",), (), (), "there is no output"),
    ],
)
def test_bad_wiring_is_refused(
    inputs: tuple[str, ...], nodes: tuple[Node[int], ...], outputs: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Dag(inputs, nodes, outputs)


def test_readers() -> None:
    dag = diamond()
    assert [node.name for node in dag.readers("a")] == ["b", "c"]
    assert dag.only_reader("a") is None
    assert dag.only_reader("b") is dag.by_name["d"]
    assert dag.only_reader("d") is None  # it leaves
    twice = Dag(("x",), (Node("a", 1, ("x", "x")),), ("a",))
    assert twice.only_reader("x") is None


def test_values_are_forgotten_after_the_last_reader() -> None:
    alive: set[str] = set()

    class Value:
        def __init__(self, name: str) -> None:
            self.name = name
            alive.add(name)

        def __del__(self) -> None:
            alive.discard(self.name)

    seen = {}
    for name, _ in diamond().evaluate({"x": Value("x")}, lambda node, *_: Value(node.name)):
        seen[name] = set(alive)
    assert "a" in seen["b"]  # c still reads it
    assert "a" not in seen["d"]


def test_evaluate_passes_values_in_the_order_of_the_arguments() -> None:
    nodes = (Node("a", "-", ("x",)), Node("b", "-", ("a", "x")))
    dag = Dag(("x",), nodes, ("b",))
    values = dict(dag.evaluate({"x": "x"}, lambda node, *given: f"{node.name}({','.join(given)})"))
    assert values["b"] == "b(a(x),x)"


def test_demand_goes_backwards_and_unites_readers() -> None:
    asked = diamond().demand({"d": 1}, lambda node, value: [(value or 0) + node.layer] * len(node.inputs), max)
    assert asked == {"d": 1, "b": 5, "c": 5, "a": 8, "x": 9}


def test_a_node_is_left_out() -> None:
    dag = diamond().without("b")
    assert dag.by_name["d"].inputs == ("a", "c")
    assert Dag.chain("x", [("a", 1), ("b", 2)]).without("b").outputs == ("a",)


def test_a_node_is_added_for_some_readers() -> None:
    dag = diamond().with_node_after("a", "new", 9, ["c"])
    assert dag.names == ("x", "a", "new", "b", "c", "d")
    assert (dag.by_name["b"].inputs, dag.by_name["c"].inputs) == (("a",), ("new",))
    assert diamond().with_node_after("d", "new", 9).outputs == ("new",)
