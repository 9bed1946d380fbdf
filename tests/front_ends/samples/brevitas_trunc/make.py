"""Brevitas to QONNX: average pooling with Trunc, Quant that rounds down, up and to zero, power-of-two scales.

The file has the rounding mode ROUND_TO_ZERO, which qonnx does not know: it was executed as DOWN. `t_<module>` are the
outputs of Brevitas' modules, `wint_`, `wscale_` integers and scales of weights, `ascale_` scales of activations;
`y_qonnx` are the outputs of the file, executed by the package qonnx.
"""

import sys

sys.path.insert(0, "..")
import brevitas.nn as qnn
import torch
from _brevitas import PACKAGES, record
from _common import FRAMES, finish, pictures
from _torch import channels_first, train
from brevitas.quant import Int8ActPerTensorFixedPoint, Int8WeightPerTensorFixedPoint, Uint8ActPerTensorFixedPoint
from torch import nn

torch.manual_seed(44)
weights = {"weight_quant": Int8WeightPerTensorFixedPoint, "weight_bit_width": 4, "bias": False}


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        floor = {"float_to_int_impl_type": "floor"}
        self.inp = qnn.QuantIdentity(
            act_quant=Uint8ActPerTensorFixedPoint, bit_width=5, return_quant_tensor=True, **floor
        )
        self.c1 = qnn.QuantConv2d(1, 5, 3, **weights)
        self.r1 = qnn.QuantReLU(
            act_quant=Uint8ActPerTensorFixedPoint, bit_width=5, return_quant_tensor=True, float_to_int_impl_type="ceil"
        )
        self.pool = qnn.TruncAvgPool2d(2, bit_width=4, float_to_int_impl_type="floor", return_quant_tensor=True)
        self.c2 = qnn.QuantConv2d(5, 4, 2, **weights)
        self.q2 = qnn.QuantIdentity(
            act_quant=Int8ActPerTensorFixedPoint,
            bit_width=5,
            return_quant_tensor=True,
            float_to_int_impl_type="round_to_zero",
        )
        self.d = qnn.QuantLinear(16, 4, **weights)

    def forward(self, x):
        x = self.pool(self.r1(self.c1(self.inp(x))))
        return self.d(self.q2(self.c2(x)).flatten(1))


frames, labels = pictures(400, 8, 8, 1, seed=44)
x = channels_first(frames)
model = Network()
train(model, x, labels)
finish(__doc__, PACKAGES, record(model, x[:FRAMES]))
