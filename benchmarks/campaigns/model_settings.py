"""Other configurations for model files: valid JSON, or nearly, that says something else."""

from __future__ import annotations

import base64
import copy
import json
import marshal
from collections.abc import Callable
from random import Random
from typing import Any

from .trees import (
    LITERALS,
    MARK,
    NAMES,
    Position,
    added,
    missing,
    moved,
    nested,
    other_type,
    other_value,
    positions,
    replaced,
    value_at,
)
from .trial import TRACE

Change = Callable[[str, Random], str]

CLASSES = [
    "Lambda", "LSTM", "Add", "Foreign", "elsewhere>Dense", "", "__lambda__", "function", "Functional", "Sequential",
    "Model", "dense", "Dense ", "Dense\n", "InputLayer", "TimeDistributed", "Bidirectional", "TFSMLayer", "Conv2D",
    "BatchNormalization", "Softmax", "ReLU", "Reshape", "Flatten", "MultiHeadAttention", "StringLookup",
    "HashedCrossing", "MelSpectrogram", "Rescaling", "Normalization", "Resizing", "Pipeline", "QDense", "os.system",
    "x" * 10_000,
]  # fmt: skip
MODULES = ["os", "builtins", "", None, "keras.src.saving.saving_lib", "keras.utils", "tensorflow", "subprocess", 3]
FUNCTIONS = ["gelu", "linear", "relu", "softmax", "eval", "os.system", "", "leaky_relu", "RELU", "tanh", "hard_sigmoid"]
SIZES = [0, -1, 1, 2, 7, 64, 65_537, 100_000_000, 2**31, 2**63, 10**30, 1.5, None, "3", [3], [2, 2, 2], True]
ARCHITECTURE = [
    "units", "filters", "kernel_size", "strides", "padding", "pool_size", "depth_multiplier", "dilation_rate",
    "groups", "data_format", "axis", "target_shape", "batch_shape", "batch_input_shape", "use_bias", "input_shape",
    "kernel_shape", "epsilon", "scale", "offset", "max_value", "keepdims",
]  # fmt: skip


def on_tree(change: Callable[[Any, Random], Any]) -> Change:
    return lambda text, random: json.dumps(change(json.loads(text), random))


def shapes(tree: Any, random: Random) -> Any:
    """Sizes of layers and tensors."""
    places = [p for p in positions(tree) if p and p[-1] in ARCHITECTURE]
    inside = [q for p in places for q in ((*p, *rest) for rest in positions(value_at(tree, p)))]
    return replaced(tree, random.choice(inside), random.choice(SIZES))


def class_names(tree: Any, random: Random) -> Any:
    places = [p for p in positions(tree) if p and p[-1] in ("class_name", "module", "registered_name", "activation")]
    position = random.choice(places)
    pool: list[Any] = {"module": MODULES, "activation": FUNCTIONS}.get(str(position[-1]), CLASSES)
    return replaced(tree, position, random.choice(pool))


def names(text: str, random: Random) -> str:
    """A layer's name, in half of the cases wherever it is mentioned."""
    tree = json.loads(text)
    places = [p for p in positions(tree) if p and p[-1] == "name" and isinstance(value_at(tree, p), str)]
    position = random.choice(places)
    old, new = value_at(tree, position), random.choice([*NAMES, *(value_at(tree, p) for p in places)])
    if random.random() < 0.5:
        return text.replace(json.dumps(old), json.dumps(new))
    return json.dumps(replaced(tree, position, new))


def layers(tree: Any, random: Random) -> Any:
    """Layers that are there twice, not at all, in another order, or thousands of times."""
    tree = copy.deepcopy(tree)
    body = tree["config"]
    there = body["layers"] if isinstance(body, dict) else body
    one = random.randrange(len(there))
    what = random.choice(["twice", "thousands", "removed", "reversed", "shuffled", "none", "renamed copy", "swapped"])
    if what == "removed":
        del there[one]
    elif what == "none":
        there.clear()
    elif what == "reversed":
        there.reverse()
    elif what == "shuffled":
        random.shuffle(there)
    elif what == "swapped":
        other = random.randrange(len(there))
        there[one], there[other] = there[other], there[one]
    else:
        copies = {"twice": 1, "thousands": random.choice([100, 2_000]), "renamed copy": 1}[what]
        made = [copy.deepcopy(there[one]) for _ in range(copies)]
        if what != "twice":
            for number, layer in enumerate(made):
                layer["config"]["name"] = layer["name"] = f"copy_{number}"
        there[one + 1 : one + 1] = made
    return tree


def connections(tree: Any, random: Random) -> Any:
    """Change which tensors layers read, or the inputs and outputs of the model."""
    keys = ("inbound_nodes", "input_layers", "output_layers", "keras_history", "args", "build_input_shape")
    places = [p for p in positions(tree) if any(key in p for key in keys)]
    if not places or random.random() < 0.2:
        other = random.choice(["Sequential", "Functional", "Model", "Foreign"])
        return replaced(tree, ("class_name",), other)
    texts = [value_at(tree, p) for p in positions(tree) if p and p[-1] == "name"]
    values = [*texts, 0, 1, -1, 10**9, [], {}, None, [[]], ["nobody", 0, 0], [[["nobody", 0, 0, {}]]]]
    return replaced(tree, random.choice(places), random.choice(values))


def nesting(text: str, random: Random) -> str:
    """Lists in lists at one position, or a model in the place of a layer."""
    tree = json.loads(text)
    if random.random() < 0.2:
        inner = tree
        for _ in range(random.choice([1, 3, 30])):
            inner = replaced(
                tree, ("config", "layers", 1) if isinstance(tree["config"], dict) else ("config", 1), inner
            )
        return json.dumps(inner)
    position = random.choice(list(positions(tree))[1:])
    return _with_literal(tree, position, nested(random))


def huge_numbers(text: str, random: Random) -> str:
    """Numbers that no machine number holds."""
    tree = json.loads(text)
    leaves = [p for p in positions(tree) if isinstance(value_at(tree, p), int | float)]
    return _with_literal(tree, random.choice(leaves), random.choice(LITERALS))


def huge_texts(tree: Any, random: Random) -> Any:
    """A megabyte or more at one position."""
    value: Any = random.choice(["x" * 2_000_000, ["a"] * 300_000, {str(k): k for k in range(100_000)}, "é" * 300_000])
    return replaced(tree, random.choice(list(positions(tree))[1:]), value)


def hostile_objects(tree: Any, random: Random) -> Any:
    """Code where a layer, a function or an object of training is expected: it must not run."""
    code = compile(f"def f(x):\n open({TRACE!r}, 'w').close()\n return x", "f", "exec").co_consts[0]
    marshalled = base64.b64encode(marshal.dumps(code)).decode()
    function = {"class_name": "__lambda__", "config": {"code": marshalled, "defaults": None, "closure": None}}
    objects: list[Any] = [
        function,
        {"module": "keras.layers", "class_name": "Lambda", "config": {"name": "secret", "function": function}},
        {"class_name": "Lambda", "config": {"name": "secret", "function": [marshalled, None, None],
                                            "function_type": "lambda", "module": "__main__"}},
        {"module": "builtins", "class_name": "function", "config": "eval", "registered_name": "function"},
        {"module": "os", "class_name": "system", "config": {"command": f"touch {TRACE}"}, "registered_name": None},
        {"module": "elsewhere", "class_name": "Own", "config": {"name": "own"}, "registered_name": "elsewhere>Own"},
        {"module": "keras.layers", "class_name": "TFSMLayer", "config": {"name": "saved", "filepath": "/tmp"}},
        {"class_name": "__numpy__", "config": {"value": [1, 2], "dtype": "object"}},
        {"class_name": "__tensor__", "config": {"value": 1, "dtype": "float32"}},
        {"class_name": "__typespec__", "spec_name": "x", "module": "os", "config": {}},
    ]  # fmt: skip
    keys = ("loss", "optimizer", "metrics", "activation", "kernel_initializer", "kernel_regularizer", "bias_constraint",
            "kernel_constraint", "beta_initializer", "compile_config")  # fmt: skip
    if random.random() < 0.3:
        body = tree["config"]["layers"] if isinstance(tree["config"], dict) else tree["config"]
        tree = copy.deepcopy(tree)
        body = tree["config"]["layers"] if isinstance(tree["config"], dict) else tree["config"]
        body.insert(random.randint(1, len(body)), random.choice(objects))
        return tree
    places: list[Position] = [p for p in positions(tree) if p and p[-1] in keys] or [("compile_config",)]
    return replaced(tree, random.choice(places), random.choice(objects))


def text_of_json(text: str, random: Random) -> str:
    """No JSON any more, or JSON in an unusual dress."""
    place = random.randrange(len(text))
    return random.choice(
        [
            lambda: text[:place],
            lambda: text[:place] + random.choice('{}[]",:\\\x00\n\x1f\ud800') + text[place:],
            lambda: text[:place] + text[place + 1 :],
            lambda: "\ufeff" + text,
            lambda: text + random.choice(["x", text, " " * 1_000_000, "\x00", ",", "// remark"]),
            lambda: text.replace('"name"', "'name'"),
            lambda: text.replace("{", '{"name": "first", ', 3),
            lambda: text.replace("}", ",}"),
            lambda: random.choice(["", "null", "[]", "{}", "3", '"text"', "NaN", "true", "[[]]", '{"config": null}']),
            lambda: text.encode("utf-16", "surrogatepass").decode("latin-1"),
            lambda: json.dumps(json.loads(text), indent=4),
            lambda: text.replace("true", "1").replace("false", "0"),
        ]
    )()


def _with_literal(tree: Any, position: Position, literal: str) -> str:
    return json.dumps(replaced(tree, position, MARK)).replace(json.dumps(MARK), literal)


CHANGES: dict[str, Change] = {
    "a setting of another type": on_tree(other_type),
    "a setting of another value": on_tree(other_value),
    "a setting missing": on_tree(missing),
    "a setting more": on_tree(added),
    "a setting from elsewhere": on_tree(moved),
    "sizes and shapes": on_tree(shapes),
    "class names": on_tree(class_names),
    "names": names,
    "layers twice, missing, moved": on_tree(layers),
    "connections": on_tree(connections),
    "nesting": nesting,
    "huge numbers": huge_numbers,
    "huge texts": on_tree(huge_texts),
    "code in the configuration": on_tree(hostile_objects),
    "text of the configuration": text_of_json,
}
