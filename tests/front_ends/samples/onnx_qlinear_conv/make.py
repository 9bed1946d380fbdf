"""ONNX QLinear: a residual convolutional network with QLinearConv, QLinearAdd and QGemm, uint8 activations.

The network of onnx_qdq_conv in the format QOperator; QLinearAdd and QGemm are of the domain com.microsoft. `y` and
`t_<tensor>` are those of onnxruntime without graph optimizations, frame by frame, every tensor but those of
DequantizeLinear made an output; `o_<tensor>` with all optimizations, where they differ; `y_optimized` with all
optimizations and the file as it is.
"""

import sys
from pathlib import Path

sys.path.insert(0, "..")
import torch
from _common import finish, pictures
from _networks import Residual, export
from _onnxruntime import PACKAGES, quantize, record
from _torch import channels_first, train
from onnxruntime.quantization import QuantFormat, QuantType

torch.manual_seed(51)
frames, labels = pictures(400, 8, 8, 1, seed=51)
x = channels_first(frames)
model = Residual()
train(model, x, labels)
export(model, x, "float.onnx")
quantize("float.onnx", x[:200].numpy(), QuantFormat.QOperator, QuantType.QUInt8)
Path("float.onnx").unlink()
finish(__doc__, (*PACKAGES, "torch"), record(x[:16].numpy()))
