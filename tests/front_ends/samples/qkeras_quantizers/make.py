"""What QKeras' quantizers make of weights and of activations; run with qkeras-v3 (`v3`) and with QKeras 0.9 (`v0`).

`<version>/<group>` is what the quantizers `<version>/<group>/texts` make of `x/<group>`: `dense`, `filters`,
`multiplied` (a depthwise kernel with two outputs per channel) and `vector` of weights, `numbers` of activations.
"trained" stands before a quantizer that a layer has told that it is that of its kernel.
"""

import os
import sys

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np

try:
    import keras
    from qkeras import quantizers

    version = "v3" if int(keras.__version__.split(".")[0]) >= 3 else "v0"
except ImportError:
    sys.exit("run it in an environment with QKeras")

rng = np.random.default_rng(16)
weights = {
    "dense": rng.normal(0, 0.4, (12, 5)).astype("float32"),
    "filters": rng.normal(0, 0.3, (2, 2, 3, 4)).astype("float32"),
    "multiplied": rng.normal(0, 0.5, (2, 2, 3, 2)).astype("float32"),
    "vector": rng.normal(0, 0.7, 8).astype("float32"),
}
weights["dense"][:, 2] = 0  # an output that training has left without weights
weights["dense"][:, 3] *= 40
weights["vector"][1] = 0
ties = np.arange(-48, 49) / 16
numbers = np.concatenate(
    [ties, rng.normal(0, 1.5, 40), [-1000.5, 999.25, 2.0**-20, -(2.0**-20), 0.33, -0.33, 1e-8, 40, -40, 2, 4, 8, 0.5]]
).astype("float32")

WEIGHTS = [
    "quantized_bits(4,0,1,alpha=1)",
    "quantized_bits(6,0,alpha=1)",
    "quantized_bits(4,0)",
    "quantized_bits(8,2,alpha=0.75)",
    "quantized_bits(8,2,alpha=1.0)",
    "quantized_bits(1,0,alpha=1)",
    "quantized_bits(2,0,alpha=2)",
    "quantized_bits(3,1,keep_negative=False,alpha=1)",
    "quantized_bits(4,1,alpha='auto')",
    "quantized_bits(2,0,alpha='auto')",
    "quantized_bits(2,0,alpha='auto_po2')",
    "quantized_bits(4,1,alpha='auto_po2')",
    "quantized_bits(6,0,keep_negative=False,alpha='auto_po2')",
    "ternary(alpha=1)",
    "ternary(alpha=0.5,threshold=0.2)",
    "ternary()",
    "ternary(alpha='auto')",
    "ternary(alpha='auto_po2',number_of_unrolls=3)",
    "stochastic_ternary(alpha='auto_po2')",
    "binary()",
    "binary(alpha=1)",
    "binary(alpha='auto')",
    "binary(use_01=1,alpha='auto_po2')",
    "binary(use_01=1,alpha=1)",
    "stochastic_binary(alpha='auto_po2')",
    "quantized_po2(4,1)",
    "quantized_po2(3,2)",
    "quantized_po2(4,1,log2_rounding='floor')",
    "quantized_relu_po2(4,4)",
    "quantized_relu_po2(3,4,quadratic_approximation=True)",
]
ONLY_V3 = [
    "quantized_bits(5,-1,alpha='auto')",
    "quantized_linear(4,0)",
    "quantized_linear(4,1,alpha='auto')",
    "quantized_linear(5,0,0,alpha='auto')",
    "quantized_linear(5,0,0,alpha='auto_po2')",
    "quantized_linear(4,0,keep_negative=False,alpha='auto')",
    "quantized_linear(6,1,alpha=0.3)",
    "quantized_linear(1,0,alpha='auto_po2')",
    "quantized_linear(1,1,alpha=1)",
]
ACTIVATIONS = [
    "quantized_bits(6,0,alpha=1)",
    "quantized_bits(8,3,1)",
    "quantized_bits(4,0,keep_negative=False)",
    "quantized_bits(4,1,alpha=0.5)",
    "quantized_bits(1)",
    "quantized_relu(6)",
    "quantized_relu(6,2)",
    "quantized_relu(4,3)",
    "quantized_relu(6,1,negative_slope=0.25)",
    "quantized_relu(4,2,0,0.5)",
    "quantized_relu(4,1,relu_upper_bound=1.5,is_quantized_clip=False)",
    "quantized_tanh(4)",
    "quantized_tanh(6,symmetric=1)",
    "quantized_tanh(5,use_real_tanh=1)",
    "quantized_sigmoid(4)",
    "quantized_sigmoid(1)",
    "quantized_sigmoid(6,1)",
    "quantized_sigmoid(5,use_real_sigmoid=1)",
    "ternary()",
    "ternary(alpha=0.5,threshold=0.8)",
    "binary()",
    "binary(alpha=0.25)",
    "binary(1)",
    "stochastic_ternary()",
]
if version == "v3":
    WEIGHTS += ONLY_V3
    ACTIVATIONS += ["quantized_linear(6,1)", "quantized_linear(6,1,alpha=0.3)", "quantized_linear(1,1)"]

path = "io.npz"

arrays = {f"x/{name}": values for name, values in weights.items()} | {"x/numbers": numbers}
recorded = {}


def record(group, text, quantizer):
    recorded.setdefault(group, {})[text] = np.array(quantizer(arrays[f"x/{group}"]), "float32")


for text in WEIGHTS:
    for name in weights:
        for trained in (True, False):
            quantizer = quantizers.get_quantizer(text)
            if trained and (name == "vector" or "alpha" in text or not hasattr(quantizer, "alpha")):
                continue
            if trained:
                quantizer._set_trainable_parameter()
            record(name, f"{'trained ' * trained}{text}", quantizer)
for text in ACTIVATIONS:
    record("numbers", text, quantizers.get_quantizer(text))
# Weights for which five rounds do not settle the power of two: the versions differ in the codes that they end with.
magnitudes, counts = np.float32(0.51) / 2 ** np.arange(7), 6 ** np.arange(7)
arrays |= {"x/magnitudes": magnitudes, "x/counts": counts}
unsettled = np.array(
    quantizers.get_quantizer("quantized_bits(2,0,alpha='auto_po2')")(np.repeat(magnitudes, counts)[:, None])
)
arrays[f"{version}/unsettled"] = unsettled[np.cumsum(counts) - 1, 0]
if version == "v3":  # a scale that was frozen after training
    frozen = quantizers.quantized_bits(
        bits=4, integer=0, alpha="auto_po2", post_training_scale=np.array([[0.5, 1, 2, 0.25, 4]])
    )
    arrays["v3/dense/frozen"] = np.array(frozen(weights["dense"]), "float32")

for group, outputs in recorded.items():
    arrays[f"{version}/{group}"] = np.stack([np.broadcast_to(y, arrays[f"x/{group}"].shape) for y in outputs.values()])
    arrays[f"{version}/{group}/texts"] = np.array(list(outputs))
if os.path.exists(path):
    with np.load(path) as old:
        arrays = {key: old[key] for key in old if not key.startswith(version)} | arrays
np.savez_compressed(path, **arrays)
print(version, len(arrays), os.path.getsize(path))
