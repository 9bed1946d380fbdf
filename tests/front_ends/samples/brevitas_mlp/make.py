"""Brevitas to QONNX: a dense network with 3-bit weights per channel and 3-bit activations, float batch normalization.

`t_<module>` are the outputs of Brevitas' modules, `wint_`, `wscale_` integers and scales of weights, `ascale_` scales
of activations; `y_qonnx` are the outputs of the file, executed by the package qonnx.
"""

import sys

sys.path.insert(0, "..")
import brevitas.nn as qnn
import torch
from _brevitas import PACKAGES, record
from _common import FRAMES, finish, vectors
from _torch import train
from brevitas.quant import Int8ActPerTensorFloat, Int8Bias
from torch import nn

torch.manual_seed(41)
weights = {"weight_bit_width": 3, "weight_scaling_per_output_channel": True}


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.inp = qnn.QuantIdentity(act_quant=Int8ActPerTensorFloat, bit_width=6, return_quant_tensor=True)
        self.d1 = qnn.QuantLinear(12, 16, bias=False, **weights)
        self.n1 = nn.BatchNorm1d(16)
        self.r1 = qnn.QuantReLU(bit_width=3, return_quant_tensor=True)
        self.d2 = qnn.QuantLinear(16, 10, bias=True, bias_quant=Int8Bias, **weights)
        self.r2 = qnn.QuantReLU(bit_width=3, return_quant_tensor=True)
        self.d3 = qnn.QuantLinear(10, 4, bias=True, weight_bit_width=3)

    def forward(self, x):
        x = self.r1(self.n1(self.d1(self.inp(x))))
        return self.d3(self.r2(self.d2(x)))


frames, labels = vectors(400, 12, seed=41)
x = torch.tensor(frames)
model = Network()
train(model, x, labels)
finish(__doc__, PACKAGES, record(model, x[:FRAMES]))
