"""larq: binary convolutions with ste_sign, pad_values=1 and padding by zeros, batch normalization, maximum pooling.

The first layer reads numbers and has binary weights; then binary inputs and weights, once padded by 1 and once by 0
(three levels), stride 2; last a binary QuantDense. One file as `save` writes it, optimizer included. `y` and
`t_<layer>` (of the first 6 frames) are what the loaded file gives, each operation by itself; `qk_<layer>` are the
binary kernels.
"""

import sys

sys.path.insert(0, "..")
import larq as lq
from _common import FRAMES, finish, pictures
from _keras import train
from _larq import PACKAGES, record
from tensorflow import keras

keras.utils.set_random_seed(81)
layers = keras.layers
frames, labels = pictures(400, 8, 8, 1, seed=81)
binary = {"kernel_quantizer": "ste_sign", "kernel_constraint": "weight_clip", "use_bias": False}
inner = {"input_quantizer": "ste_sign", **binary}
model = keras.Sequential(
    [
        lq.layers.QuantConv2D(5, 3, input_shape=(8, 8, 1), **binary, name="c1"),
        layers.BatchNormalization(momentum=0.9, scale=False, name="n1"),
        lq.layers.QuantConv2D(6, 3, padding="same", pad_values=1.0, **inner, name="c2"),
        layers.MaxPooling2D(2, name="mp"),
        layers.BatchNormalization(momentum=0.9, scale=False, name="n2"),
        lq.layers.QuantConv2D(6, 3, padding="same", strides=2, **inner, name="c3"),
        layers.BatchNormalization(momentum=0.9, name="n3"),
        layers.Flatten(name="flat"),
        lq.layers.QuantDense(4, **inner, name="d"),
        layers.BatchNormalization(momentum=0.9, scale=False, name="n4"),
        layers.Activation("softmax", name="softmax"),
    ]
)
train(keras, model, frames, labels, from_logits=False)
model.save("model.h5")
finish(__doc__, PACKAGES, record(keras, frames[:FRAMES], traced=6))
