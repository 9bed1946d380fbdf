"""Brevitas to ONNX QCDQ (QuantizeLinear, Clip, DequantizeLinear): 3 and 4 bits in int8, depthwise, batch normalization.

`y` and `t_<tensor>` are those of onnxruntime without graph optimizations, frame by frame, every tensor but those of
DequantizeLinear made an output; `y_optimized` with all optimizations and the file as it is; `y_brevitas` of the module.
"""

import sys

sys.path.insert(0, "..")
import brevitas.nn as qnn
import torch
from _common import FRAMES, finish, pictures
from _onnxruntime import record
from _torch import train
from brevitas.export import export_onnx_qcdq
from brevitas.quant import Int8ActPerTensorFloat, Int8WeightPerChannelFloat, Int32Bias
from torch import nn

torch.manual_seed(47)


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.inp = qnn.QuantIdentity(act_quant=Int8ActPerTensorFloat, bit_width=6, return_quant_tensor=True)
        self.c1 = qnn.QuantConv2d(
            1, 4, 3, weight_bit_width=4, weight_quant=Int8WeightPerChannelFloat, bias=True, bias_quant=Int32Bias
        )
        self.r1 = qnn.QuantReLU(bit_width=4, return_quant_tensor=True)
        self.c2 = qnn.QuantConv2d(4, 4, 3, groups=4, padding=1, stride=2, weight_bit_width=3, bias=False)
        self.n2 = nn.BatchNorm2d(4)
        self.r2 = qnn.QuantReLU(bit_width=6, return_quant_tensor=True)
        self.d = qnn.QuantLinear(36, 4, bias=True, weight_bit_width=4, bias_quant=Int32Bias)
        self.out = qnn.QuantIdentity(bit_width=8)

    def forward(self, x):
        x = self.r2(self.n2(self.c2(self.r1(self.c1(self.inp(x))))))
        return self.out(self.d(torch.flatten(x, 1)))


frames, labels = pictures(400, 8, 8, seed=47)
x = torch.tensor(frames.transpose(0, 3, 1, 2).copy())
model = Network()
train(model, x, labels)
with torch.no_grad():
    y = model(x[:FRAMES]).numpy()
export_onnx_qcdq(model, args=x[:1], export_path="model.onnx", opset_version=17, dynamo=False)
finish(__doc__, ("brevitas", "torch", "onnx", "onnxruntime"), record(x[:FRAMES].numpy()) | {"y_brevitas": y})
