"""ONNX QDQ: a residual convolutional network by quantize_static, int8 weights per channel, uint8 activations.

Asymmetric activations, int32 biases. `y` and `t_<tensor>` are those of onnxruntime without graph optimizations, frame
by frame, every tensor but those of DequantizeLinear made an output; `o_<tensor>` with all optimizations, where they
differ; `y_optimized` with all optimizations and the file as it is.
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
quantize("float.onnx", x[:200].numpy(), QuantFormat.QDQ, QuantType.QUInt8)
Path("float.onnx").unlink()
finish(__doc__, (*PACKAGES, "torch"), record(x[:16].numpy()))
