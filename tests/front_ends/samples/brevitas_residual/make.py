"""Brevitas to QONNX: a residual network, both branches quantized by one shared quantizer, power-of-two weight scales.

The shared quantizer is signed; behind the sum stands a float batch normalization, then a max pooling and a
convolution of stride 2 with padding on both sides. `t_<module>` are the outputs of Brevitas' modules (`t_<module>0`,
`1` of one called twice), `wint_`, `wscale_` integers and scales of weights, `ascale_` scales of activations;
`y_qonnx` are the outputs of the file, executed by the package qonnx.
"""

import sys

sys.path.insert(0, "..")
import brevitas.nn as qnn
import torch
from _brevitas import PACKAGES, record
from _common import finish, pictures
from _torch import channels_first, train
from brevitas.quant import Int8WeightPerTensorFixedPoint, Int32Bias, Uint8ActPerTensorFloat
from torch import nn

torch.manual_seed(42)
weights = {"weight_quant": Int8WeightPerTensorFixedPoint, "weight_bit_width": 4}


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.inp = qnn.QuantIdentity(act_quant=Uint8ActPerTensorFloat, bit_width=6, return_quant_tensor=True)
        self.c1 = qnn.QuantConv2d(1, 4, 3, padding=1, bias=True, bias_quant=Int32Bias, **weights)
        self.r1 = qnn.QuantReLU(bit_width=4, return_quant_tensor=True)
        self.c2 = qnn.QuantConv2d(4, 4, 3, padding=1, groups=4, bias=True, bias_quant=Int32Bias, **weights)
        self.shared = qnn.QuantIdentity(bit_width=5, return_quant_tensor=True)
        self.n = nn.BatchNorm2d(4)
        self.r2 = qnn.QuantReLU(bit_width=4, return_quant_tensor=True)
        self.mp = nn.MaxPool2d(2)
        self.c3 = qnn.QuantConv2d(4, 5, 3, stride=2, padding=1, bias=False, weight_bit_width=4)
        self.r3 = qnn.QuantReLU(bit_width=4, return_quant_tensor=True)
        self.d = qnn.QuantLinear(20, 4, bias=True, bias_quant=Int32Bias, **weights)

    def forward(self, x):
        x = self.r1(self.c1(self.inp(x)))
        x = self.shared(x) + self.shared(self.c2(x))
        x = self.mp(self.r2(self.n(x.value)))
        x = self.r3(self.c3(x))
        return self.d(x.flatten(1))


frames, labels = pictures(400, 8, 8, 1, seed=42)
x = channels_first(frames)
model = Network()
train(model, x, labels)
finish(__doc__, PACKAGES, record(model, x[:16]))
