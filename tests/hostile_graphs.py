"""Configurations of Keras models, made by hand; and some of them without end."""

from __future__ import annotations

from typing import Any


def layer(class_name: str, **config: Any) -> dict[str, Any]:
    return {"module": "keras.layers", "class_name": class_name, "config": config, "registered_name": None}


def sequential(*layers: dict[str, Any], shape: tuple[int, ...] = (4,)) -> dict[str, Any]:
    """The configuration of a model."""
    first = layer("InputLayer", name="in", batch_shape=[None, *shape])
    return {"module": "keras", "class_name": "Sequential", "config": {"name": "m", "layers": [first, *layers]}}


Tensor = tuple[str, int, int]  # a layer, which of its calls, which of its outputs


def tensor(name: str, call: int = 0, output: int = 0) -> dict[str, Any]:
    """An argument of a call."""
    return {"class_name": "__keras_tensor__", "config": {"keras_history": [name, call, output]}}


def called(described: dict[str, Any], *calls: list[Any]) -> dict[str, Any]:
    """A layer in a Functional model, with the arguments of its calls."""
    nodes = [{"args": arguments, "kwargs": {}} for arguments in calls]
    return {**described, "name": described["config"]["name"], "inbound_nodes": nodes}


def functional(
    *layers: dict[str, Any], inputs: Any = ("in", 0, 0), outputs: Any, name: str = "m", shape: tuple[int, ...] = (4,)
) -> dict[str, Any]:
    """The configuration of a Functional model with an input layer ``in``."""
    first = called(layer("InputLayer", name="in", batch_shape=[None, *shape]))
    body = {"name": name, "layers": [first, *layers], "input_layers": inputs, "output_layers": outputs}
    return {"module": "keras", "class_name": "Functional", "config": body}


# Graphs without end


def joined(count: int) -> dict[str, Any]:
    """One addition of the same tensor ``count`` times."""
    return functional(called(layer("Add", name="a"), [[tensor("in")] * count]), outputs=["a", 0, 0])


def many_inputs(count: int) -> dict[str, Any]:
    names = [f"i{k}" for k in range(count)]
    given = [called(layer("InputLayer", name=name, batch_shape=[None, 4])) for name in names]
    join = called(layer("Add", name="a"), [[tensor(name) for name in names]])
    return functional(*given, join, inputs=[[name, 0, 0] for name in names], outputs=["a", 0, 0])


def called_often(count: int) -> dict[str, Any]:
    """One layer that reads itself again and again."""
    calls = [[tensor("in")], *([tensor("r", k)] for k in range(count - 1))]
    return functional(called(layer("ReLU", name="r"), *calls), outputs=["r", count - 1, 0])


def laughs(depth: int, often: int, innermost: dict[str, Any]) -> dict[str, Any]:
    """Models that call the model inside them several times, one after the other."""
    model, name = called(innermost, [tensor("in")]), innermost["config"]["name"]
    for level in range(depth):
        from_1 = model["class_name"] == "Functional"
        calls = [[tensor("in")], *([tensor(name, k)] for k in range(often - 1))]
        body = functional({**called(model, *calls)}, outputs=[name, often - 1 + from_1, 0], name=f"m{level}")
        model, name = body, f"m{level}"
    return model


def passed_through() -> dict[str, Any]:
    """A model whose output is its input."""
    return functional(outputs=["in", 0, 0], name="nothing")


def circle_of_models() -> dict[str, Any]:
    """A model without layers that reads its own output."""
    return functional(called(passed_through(), [tensor("nothing")]), outputs=["nothing", 1, 0])


def models_inside(depth: int) -> dict[str, Any]:
    model = sequential(layer("Dense", name="d", units=3))
    for level in range(depth):
        inner = {**model, "config": {**model["config"], "name": f"m{level}"}}
        model = sequential(inner)
    return model


def models_side_by_side(count: int, layers: int) -> dict[str, Any]:
    inside = [layer("ReLU", name=f"r{k}") for k in range(layers)]
    return sequential(*({**sequential(*inside), "config": {"name": f"m{k}", "layers": inside}} for k in range(count)))
