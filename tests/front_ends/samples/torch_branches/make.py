"""torch.export: two branches and cat, leaky_relu, sigmoid, tanh, a product of two tensors, softmax.

Float. Also one-sided padding by `pad`, dilation, an average pooling that counts its padding, a residual sum and a
difference. `y` are the module's outputs, `y_loaded` those of the loaded file, `t_<node>` every tensor of the first 3
frames. The file's stack traces are dropped before it is saved.
"""

import sys

sys.path.insert(0, "..")
import torch
from _common import FRAMES, finish, pictures
from _torch import channels_first, export_pt2, train
from torch import nn

torch.manual_seed(63)


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.c1 = nn.Conv2d(1, 4, 3)
        self.left, self.right = nn.Conv2d(4, 3, 3, padding=2, dilation=2), nn.Conv2d(4, 3, 1)
        self.gate = nn.Conv2d(4, 3, 1)
        self.c2, self.n2 = nn.Conv2d(6, 6, 3, padding="same"), nn.BatchNorm2d(6)
        self.d = nn.Linear(54, 4)

    def forward(self, x):
        x = nn.functional.pad(x, (0, 1, 0, 1))
        x = nn.functional.leaky_relu(self.c1(x), 0.1)
        left = torch.tanh(self.left(x))
        right = self.right(x) * torch.sigmoid(self.gate(x))
        x = torch.cat([left - right, right], dim=1)
        x = x + nn.functional.relu(self.n2(self.c2(x)))
        x = nn.functional.avg_pool2d(x, 3, stride=3, padding=1)
        return self.d(x.reshape(x.shape[0], -1))


frames, labels = pictures(400, 8, 8, 1, seed=63)
x = channels_first(frames)
model = Network()
train(model, x, labels)
model = nn.Sequential(model, nn.Softmax(dim=-1))
finish(__doc__, ("torch",), export_pt2(model, x[:FRAMES], traced=3))
