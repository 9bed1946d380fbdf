"""Brevitas to QONNX: binary weights and activations (BipolarQuant), and ternary weights (Quant of 2 bits, narrow).

`t_<module>` are the outputs of Brevitas' modules, `wint_`, `wscale_` integers and scales of weights; `y_qonnx` are
the outputs of the file, executed by the package qonnx.
"""

import sys

sys.path.insert(0, "..")
import brevitas.nn as qnn
import torch
from _brevitas import PACKAGES, record
from _common import FRAMES, finish, pictures
from _torch import channels_first, train
from brevitas.quant import (
    SignedBinaryActPerTensorConst,
    SignedBinaryWeightPerTensorConst,
    SignedTernaryWeightPerTensorConst,
)
from torch import nn

torch.manual_seed(43)
binary, ternary = SignedBinaryWeightPerTensorConst, SignedTernaryWeightPerTensorConst


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.inp = qnn.QuantIdentity(bit_width=4, return_quant_tensor=True)
        self.c1 = qnn.QuantConv2d(1, 6, 3, bias=False, weight_quant=binary)
        self.n1 = nn.BatchNorm2d(6)
        self.s1 = qnn.QuantIdentity(act_quant=SignedBinaryActPerTensorConst, return_quant_tensor=True)
        self.c2 = qnn.QuantConv2d(6, 6, 3, bias=False, weight_quant=ternary)
        self.n2 = nn.BatchNorm2d(6)
        self.s2 = qnn.QuantHardTanh(
            act_quant=SignedBinaryActPerTensorConst, min_val=-1.0, max_val=1.0, return_quant_tensor=True
        )
        self.d = qnn.QuantLinear(96, 4, bias=False, weight_quant=binary, weight_scaling_init=0.125)
        self.n3 = nn.BatchNorm1d(4)

    def forward(self, x):
        x = self.s1(self.n1(self.c1(self.inp(2 * x - 1))))
        x = self.s2(self.n2(self.c2(x)))
        return self.n3(self.d(x.flatten(1)))


frames, labels = pictures(400, 8, 8, 1, seed=43)
x = channels_first(frames)
model = Network()
train(model, x, labels)
finish(__doc__, PACKAGES, record(model, x[:FRAMES]))
