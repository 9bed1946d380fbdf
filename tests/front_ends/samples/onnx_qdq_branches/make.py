"""ONNX QDQ: two branches, LeakyRelu, Concat, poolings, MatMul, Sigmoid, symmetric int8 activations, float weights.

Weights stand in float behind QuantizeLinear and DequantizeLinear, zero points are 0. Tensors are of the first 10
frames. Some of `y_optimized` differ from `y`. `y` and `t_<tensor>` are those of onnxruntime without graph
optimizations, frame by frame, every tensor but those of DequantizeLinear made an output; `o_<tensor>` with all
optimizations, where they differ; `y_optimized` with all optimizations and the file as it is.
"""

import sys
from pathlib import Path

sys.path.insert(0, "..")
import torch
from _common import finish, pictures
from _networks import Branches, export
from _onnxruntime import PACKAGES, quantize, record
from _torch import channels_first, train
from onnxruntime.quantization import QuantFormat, QuantType

torch.manual_seed(55)
frames, labels = pictures(400, 8, 7, 2, seed=55)
x = channels_first(frames)
model = Branches()
train(model, x, labels, epochs=6)
export(model, x, "float.onnx")
quantize(
    "float.onnx",
    x[:200].numpy(),
    QuantFormat.QDQ,
    QuantType.QInt8,
    extra_options={"ActivationSymmetric": True, "AddQDQPairToWeight": True, "WeightSymmetric": True},
)
Path("float.onnx").unlink()
finish(__doc__, (*PACKAGES, "torch"), record(x[:16].numpy(), traced=10))
