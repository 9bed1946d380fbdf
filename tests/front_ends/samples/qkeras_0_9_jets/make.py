"""QKeras 0.9: the jet tagger of hls4ml's tutorial (part 4), but narrower, as it is saved there.

A Sequential model of QDense and QActivation without a quantizer for its input, with a softmax at the end; `model.h5`
without the optimizer that is in the tutorial's. `t_<layer>` is what each layer computes.
"""

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import sys

sys.path.append("..")
import numpy as np
import tensorflow as tf
from _common import finish, vectors
from qkeras.qlayers import QActivation, QDense
from qkeras.quantizers import quantized_bits, quantized_relu
from tensorflow.keras.layers import Activation
from tensorflow.keras.models import Sequential
from tensorflow.keras.optimizers import Adam
from tensorflow.keras.regularizers import l1

tf.keras.utils.set_random_seed(9)
frames, labels = vectors(600, 16, classes=5, seed=9)
model = Sequential()
for index, units in enumerate((64, 24, 24), 1):
    first = {"input_shape": (16,)} if index == 1 else {}
    model.add(
        QDense(
            units,
            name=f"fc{index}",
            kernel_quantizer=quantized_bits(6, 0, alpha=1),
            bias_quantizer=quantized_bits(6, 0, alpha=1),
            kernel_initializer="lecun_uniform",
            kernel_regularizer=l1(0.0001),
            **first,
        )
    )
    model.add(QActivation(activation=quantized_relu(6), name=f"relu{index}"))
model.add(
    QDense(
        5,
        name="output",
        kernel_quantizer=quantized_bits(6, 0, alpha=1),
        bias_quantizer=quantized_bits(6, 0, alpha=1),
        kernel_initializer="lecun_uniform",
        kernel_regularizer=l1(0.0001),
    )
)
model.add(Activation(activation="softmax", name="softmax"))
model.compile(optimizer=Adam(learning_rate=0.002), loss=["sparse_categorical_crossentropy"], metrics=["accuracy"])
model.fit(frames, labels, batch_size=64, epochs=8, verbose=0)
model.save("model.h5", include_optimizer=False)

x = frames[:32]
arrays, values = {"x": x}, x
for layer in model.layers:
    values = layer(values)
    arrays[f"t_{layer.name}"] = np.array(values)
arrays["y"] = model.predict(x, verbose=0)
for name in ("fc1", "fc2", "fc3", "output"):
    layer = model.get_layer(name)
    arrays[f"qk_{name}"] = np.array(layer.kernel_quantizer_internal(layer.kernel))
    arrays[f"qb_{name}"] = np.array(layer.bias_quantizer_internal(layer.bias))
print(model.evaluate(frames, labels, verbose=0))
finish(__doc__, ("qkeras", "tensorflow", "keras"), arrays)
