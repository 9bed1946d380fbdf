"""TFLite not int8: one network in float32, float16, hybrid (dynamic range), with int16 activations, and partly float.

A reader refuses them, or takes the float ones as float models. `y_<file>` are the outputs of the built-in kernels.
"""

import sys

sys.path.insert(0, "..")
import keras
import numpy as np
import tensorflow as tf
from _common import finish, pictures
from _tflite import PACKAGES, train
from ai_edge_litert.interpreter import Interpreter, OpResolverType

keras.utils.set_random_seed(15)
layers = keras.layers
frames, labels = pictures(400, 8, 8, 1, seed=15)
source = layers.Input((8, 8, 1))
h = layers.Conv2D(4, 3, activation="relu")(source)
h = layers.MaxPooling2D(2)(h)
h = layers.Conv2D(6, 2, activation="elu")(h)
h = layers.Flatten()(h)
h = layers.Dense(50, activation="relu")(h)  # 1,200 weights: below 1,024 the converter leaves a layer in float
h = layers.Dense(4)(h)
model = keras.Model(source, h)
train(model, frames, labels, keras.losses.SparseCategoricalCrossentropy(from_logits=True))


def converter(optimize: bool = True, calibrate: bool = True) -> tf.lite.TFLiteConverter:
    made = tf.lite.TFLiteConverter.from_keras_model(model)
    made.optimizations = [tf.lite.Optimize.DEFAULT] if optimize else []
    if calibrate:
        made.representative_dataset = lambda: ([frame[None]] for frame in frames[:100])
    return made


half = converter(calibrate=False)
half.target_spec.supported_types = [tf.float16]
wide = converter()
wide.target_spec.supported_ops = [
    tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8,
    tf.lite.OpsSet.TFLITE_BUILTINS,
]
kinds = {
    "float32": converter(optimize=False, calibrate=False),
    "float16": half,
    "hybrid": converter(calibrate=False),
    "int16x8": wide,
    "mixed": converter(),
}
x = frames[:16]
arrays = {"x": x}
for kind, made in kinds.items():
    with open(f"{kind}.tflite", "wb") as file:
        file.write(made.convert())
    interpreter = Interpreter(
        f"{kind}.tflite", experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    interpreter.allocate_tensors()
    print("  ", kind, [operator["op_name"] for operator in interpreter._get_ops_details()])
    found = []
    for frame in x:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], frame[None])
        interpreter.invoke()
        found.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0])
    arrays[f"y_{kind}"] = np.array(found)
finish(__doc__, PACKAGES, arrays)
