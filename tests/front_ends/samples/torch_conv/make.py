"""torch.export: convolutions of stride 2 with padding on both sides, batch normalization, adaptive average pooling.

Float. Heights and widths are even and odd, so that padding (1, 1) with stride 2 is seen to differ from Keras' same; a
depthwise convolution with a multiplier of 2; a pooling with ceil_mode. `y` are the module's outputs, `y_loaded` those
of the loaded file, `t_<node>` every tensor of the first 6 frames. The file's stack traces are dropped before it is
saved.
"""

import sys

sys.path.insert(0, "..")
import torch
from _common import FRAMES, finish, pictures
from _torch import channels_first, export_pt2, train
from torch import nn

torch.manual_seed(62)


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.c1, self.n1 = nn.Conv2d(1, 4, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(4)
        self.c2, self.n2 = nn.Conv2d(4, 8, 3, padding=1, groups=4), nn.BatchNorm2d(8, eps=1e-3)
        self.c3 = nn.Conv2d(8, 6, (3, 2), stride=(2, 1), padding=(1, 1))
        self.d = nn.Linear(6, 4)

    def forward(self, x):
        x = nn.functional.relu(self.n1(self.c1(x)))
        x = nn.functional.hardtanh(self.n2(self.c2(x)), 0.0, 2.0)
        x = nn.functional.max_pool2d(x, 2, ceil_mode=True)
        x = torch.relu(self.c3(x))
        x = nn.functional.adaptive_avg_pool2d(x, (1, 1))
        return self.d(torch.flatten(x, 1))


frames, labels = pictures(400, 10, 9, 1, seed=62)
x = channels_first(frames)
model = Network()
train(model, x, labels)
finish(__doc__, ("torch",), export_pt2(model, x[:FRAMES], traced=6))
