"""ONNX QLinear: two branches, QLinearConcat, QLinearLeakyRelu, poolings, QLinearMatMul, QLinearSigmoid.

The network of onnx_qdq_branches in the format QOperator, asymmetric int8 activations. `y` and `t_<tensor>` are those
of onnxruntime without graph optimizations, frame by frame, every tensor but those of DequantizeLinear made an output;
`o_<tensor>` with all optimizations, where they differ; `y_optimized` with all optimizations and the file as it is.
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
quantize("float.onnx", x[:200].numpy(), QuantFormat.QOperator, QuantType.QInt8)
Path("float.onnx").unlink()
finish(__doc__, (*PACKAGES, "torch"), record(x[:16].numpy()))
