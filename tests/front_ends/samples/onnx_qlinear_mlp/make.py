"""ONNX QLinear: a dense network with QGemm, int8 activations.

The network of onnx_qdq_mlp in the format QOperator; QGemm is of the domain com.microsoft. `y` and `t_<tensor>` are
those of onnxruntime without graph optimizations, frame by frame, every tensor but those of DequantizeLinear made an
output; `o_<tensor>` with all optimizations, where they differ; `y_optimized` with all optimizations and the file as
it is.
"""

import sys
from pathlib import Path

sys.path.insert(0, "..")
import torch
from _common import finish, vectors
from _networks import Dense, export
from _onnxruntime import PACKAGES, quantize, record
from _torch import train
from onnxruntime.quantization import QuantFormat, QuantType

torch.manual_seed(52)
frames, labels = vectors(400, 12, seed=52)
x = torch.tensor(frames)
model = Dense()
train(model, x, labels)
export(model, x, "float.onnx")
quantize("float.onnx", x[:200].numpy(), QuantFormat.QOperator, QuantType.QInt8)
Path("float.onnx").unlink()
finish(__doc__, (*PACKAGES, "torch"), record(x[:32].numpy()))
