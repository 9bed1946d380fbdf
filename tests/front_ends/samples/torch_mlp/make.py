"""torch.export: a dense network behind flatten, with dropout, batch normalization, ReLU6, and a bias-free layer.

Float, in evaluation mode: dropout does nothing. `y` are the module's outputs, `y_loaded` those of the loaded file,
`t_<node>` every tensor of it. The file's stack traces are dropped before it is saved.
"""

import sys

sys.path.insert(0, "..")
import torch
from _common import FRAMES, finish, pictures
from _torch import channels_first, export_pt2, train
from torch import nn

torch.manual_seed(61)
model = nn.Sequential(
    nn.Flatten(),
    nn.Linear(2 * 6 * 5, 14),
    nn.BatchNorm1d(14),
    nn.ReLU6(),
    nn.Dropout(0.3),
    nn.Linear(14, 10, bias=False),
    nn.ReLU(),
    nn.Dropout(0.2),
    nn.Linear(10, 4),
)
frames, labels = pictures(400, 6, 5, 2, seed=61)
x = channels_first(4 * frames)
nn.init.constant_(model[2].weight, 4.0)
train(model, x, labels)
finish(__doc__, ("torch",), export_pt2(model, x[:FRAMES]))
