"""Models that must be refused, and what has to be said about each. A Lambda in them would leave a trace if it ran."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

TRACE = "DNN2FPGA_TEST_LAMBDA_TRACE"  # environment variable: the file that running code from a model would write


def leave_trace(x: Any) -> Any:
    """The body of the Lambda layers: shows that it ran."""
    if name := os.environ.get(TRACE):
        Path(name).write_text("a Lambda layer ran")
    return x


def lambda_layer(keras: Any, name: str) -> Any:
    return keras.layers.Lambda(lambda x: __import__("bad_models").leave_trace(x), name=name)


def _sequential(*layers: Any, shape: tuple[int | None, ...] = (6, 6, 1)) -> Any:
    from dnn2fpga.keras_import import keras

    return keras.Sequential([keras.Input(shape), *layers])


def _keras() -> Any:
    from dnn2fpga.keras_import import keras

    return keras


def with_lambda() -> Any:
    layers = _keras().layers
    return _sequential(
        layers.Conv2D(2, 3, name="conv"), lambda_layer(_keras(), "secret"), layers.Flatten(), layers.Dense(2)
    )


def many_unsupported() -> Any:
    layers = _keras().layers
    return _sequential(
        layers.Conv2D(2, 3, dilation_rate=2, name="dilated"),
        layers.PReLU(name="learned"),
        lambda_layer(_keras(), "secret"),
        layers.Conv2DTranspose(2, 3, name="transposed"),
        layers.Conv2D(4, 1, groups=2, activation="gelu", name="grouped"),
        layers.ReLU(negative_slope=0.1, name="sloped"),
        layers.Flatten(),
        layers.Dense(2, activation=leave_trace, name="own_activation"),
    )


def foreign_layer() -> Any:
    keras = _keras()

    @keras.saving.register_keras_serializable(package="elsewhere")
    class Foreign(keras.layers.Layer):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return leave_trace(x)

    return _sequential(Foreign(name="stranger"), keras.layers.Flatten(), keras.layers.Dense(2))


def output_is_input() -> Any:
    keras = _keras()
    i, j = keras.Input((4,), name="i"), keras.Input((4,), name="j")
    return keras.Model([i, j], [keras.layers.Dense(3)(keras.layers.Concatenate()([i, j])), j])


def output_twice() -> Any:
    keras = _keras()
    i = keras.Input((4,))
    a = keras.layers.Dense(3, name="a")(i)
    return keras.Model(i, {"one": a, "other": a, "third": keras.layers.Dense(3)(a)})


def outputs_that_become_one() -> Any:
    keras = _keras()
    i = keras.Input((4,))
    a = keras.layers.Dense(3, name="logits")(i)
    return keras.Model(i, [a, keras.layers.Softmax(name="classes")(a)])


def unread_input() -> Any:
    keras = _keras()
    i, j = keras.Input((4,), name="used"), keras.Input((4,), name="idle")
    return keras.Model([i, j], keras.layers.Dense(3)(i))


def many_problems_of_joins() -> Any:
    """Shapes that do not go together, of which each is told."""
    keras = _keras()
    layers = keras.layers
    i = keras.Input((4, 4, 3), name="i")
    a, b = layers.Conv2D(2, 1, name="a")(i), layers.Conv2D(1, 1, name="b")(i)
    spread = layers.Add(name="spread")([a, b])
    line = layers.Maximum(name="line")([i, keras.Input((1, 1, 3), name="j")])
    return keras.Model([i, line._keras_history.operation.input[1]], [spread, line, layers.Dot(-1, name="dot")([i, i])])


def training_inside() -> Any:
    keras = _keras()
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4), keras.layers.Dropout(0.5)], name="inner")
    i = keras.Input((4,))
    return keras.Model(i, keras.layers.Dense(2)(inner(i, training=True)))


def zero_padding() -> Any:
    """Zeros as wide as the kernel, zeros before a pooling with some of its own, and zeros that leave."""
    keras = _keras()
    layers = keras.layers
    i = keras.Input((6, 6, 1))
    wide = layers.Conv2D(2, 3, name="c")(layers.ZeroPadding2D(3, name="wide")(i))
    pooled = layers.MaxPooling2D(3, padding="same")(layers.ZeroPadding2D(1, name="pooled")(i))
    both = layers.ZeroPadding2D(1, name="both")(i)
    return keras.Model(i, [wide, pooled, both, layers.Conv2D(2, 3)(both)])


def lambda_inside() -> Any:
    keras = _keras()
    inner = keras.Sequential([keras.Input((4,)), lambda_layer(keras, "secret")], name="inner")
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(4), inner, keras.layers.Dense(2)])


def nan_weights() -> Any:
    model = _sequential(_keras().layers.Dense(2, name="sick"), shape=(4,))
    model.layers[0].set_weights([np.full((4, 2), np.nan), np.array([0, np.inf])])
    return model


def unknown_dimension() -> Any:
    return _sequential(_keras().layers.Conv2D(2, 3), shape=(None, None, 1))


def time_series() -> Any:
    return _sequential(_keras().layers.Dense(2), shape=(5, 4))


def softmax_in_the_middle() -> Any:
    layers = _keras().layers
    return _sequential(layers.Dense(3), layers.Softmax(name="early"), layers.Dense(2), shape=(4,))


def batch_norm_on_rows() -> Any:
    layers = _keras().layers
    return _sequential(layers.BatchNormalization(axis=1, name="rows"), layers.Flatten(), layers.Dense(2))


# name → (makes the model, what the message must say)
MODELS: dict[str, tuple[Callable[[], Any], tuple[str, ...]]] = {
    "with_lambda": (with_lambda, ("layer 'secret' (Lambda)", "never run")),
    "many_unsupported": (
        many_unsupported,
        (
            "'dilated'",
            "dilation_rate=2 (supported: 1)",
            "'learned' (PReLU)",
            "'secret' (Lambda)",
            "'transposed' (Conv2DTranspose)",
            "'grouped'",
            "groups=2",
            "activation 'gelu'",
            "'sloped'",
            "negative_slope",
            "'own_activation'",
        ),
    ),
    "foreign_layer": (foreign_layer, ("layer 'stranger'", "Foreign", "never loaded")),
    "output_is_input": (output_is_input, ("the output 'j'", "is an input of the model, unchanged")),
    "output_twice": (output_twice, ("the output 'other'", "is the same tensor as the output 'one'")),
    "outputs_that_become_one": (outputs_that_become_one, ("'logits' and 'classes' are one tensor in hardware",)),
    "unread_input": (unread_input, ("the input 'idle'", "no output depends on it")),
    "many_problems_of_joins": (many_problems_of_joins, ("'dot' (Dot)", "this kind of layer is not supported")),
    "training_inside": (training_inside, ("layer 'inner' (Sequential)", "is called with training=True")),
    "zero_padding": (
        zero_padding,
        ("'wide' (zero_padding)", "3 + 3 rows and 3 + 3 columns of zeros are added to [6, 6, 1]", "'pooled'", "'both'"),
    ),
    "lambda_inside": (lambda_inside, ("layer 'inner/secret' (Lambda)", "never run")),
    "nan_weights": (nan_weights, ("'sick' (Dense)", "its kernel holds NaN", "its bias holds NaN")),
    "unknown_dimension": (unknown_dimension, ("input shape must be fixed",)),
    "time_series": (time_series, ("a vector or an image",)),
    "softmax_in_the_middle": (softmax_in_the_middle, ("layer 'early' (softmax)", "only as the last layer")),
    "batch_norm_on_rows": (batch_norm_on_rows, ("'rows' (BatchNormalization)", "axis=1")),
    "never_built": (lambda: _keras().Sequential([_keras().layers.Dense(2)]), ("has never been built",)),
    "no_layers": (lambda: _keras().Sequential([_keras().Input((4,))]), ("has no layers",)),
    "nothing_to_compute": (lambda: _sequential(_keras().layers.Dropout(0.5), shape=(4,)), ("nothing to compute",)),
}


def edited(source: Path, target: Path, edit: Callable[[dict[str, Any]], None]) -> Path:
    """A copy of a ``.keras`` file with another config.json."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                config = json.loads(content)
                edit(config)
                content = json.dumps(config).encode()
            new.writestr(name, content)
    return target
