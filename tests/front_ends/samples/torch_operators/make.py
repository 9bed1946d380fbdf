"""torch.export: files of one operator each (or a few that belong together), and what torch makes of random numbers.

Each module is exported three times: with an open batch, with a batch of 2, and as `run_decompositions` leaves it, in
other operators. `models` holds the files one after the other, `y` what the modules give for `x_3` or `x_1`, by how many
axes they read; `*_ends` say where the part of each file or module ends, `operators` which it is. Stack traces are
dropped before the files are saved, and what is no part of the program: sample inputs, serialization id.
"""

import io
import sys
import warnings
import zipfile

sys.path.insert(0, "..")
from pathlib import Path

import numpy as np
import torch
from _common import versions
from torch import nn
from torch.nn import functional as F

warnings.filterwarnings("ignore")
torch.set_num_threads(1)
IMAGE, VECTOR = (4, 6, 5), (12,)
FRAMES = 2


class Of(nn.Module):
    """A function with constants of its own."""

    def __init__(self, function, **parts):
        super().__init__()
        self.function = function
        for name, part in parts.items():
            if isinstance(part, nn.Module):
                self.add_module(name, part)
            else:
                self.register_buffer(name, part)

    def forward(self, x):
        return self.function(self, x)


def normalization(kind, channels):
    layer = kind(channels, eps=1e-3)
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    layer.running_mean.normal_()
    layer.running_var.uniform_(0.5, 2)
    return layer


def changed_in_place(s, x):
    y = s.c(x)
    z = y.add_(1)
    return z.relu_() * 2 - y


def swapped(s, x):
    n, c, h, w = x.shape
    return s.d(x.permute(0, 2, 3, 1).reshape(n, h * w * c))


conv, linear = nn.Conv2d, nn.Linear
IMAGES = {
    "conv2d with padding and strides": lambda: conv(4, 3, (3, 2), stride=(2, 1), padding=(1, 0)),
    "conv2d, dilated, same": lambda: conv(4, 3, (3, 2), padding="same", dilation=2, bias=False),
    "conv2d, valid": lambda: conv(4, 3, 2, padding="valid"),
    "conv2d, stride 2, padding 2": lambda: conv(4, 3, 5, stride=2, padding=2),
    "conv2d in two groups": lambda: conv(4, 6, 3, groups=2, padding=1),
    "conv2d, depthwise": lambda: conv(4, 8, 3, groups=4, padding=1, stride=2),
    "batch normalization": lambda: normalization(nn.BatchNorm2d, 4),
    "batch normalization without scale": lambda: nn.BatchNorm2d(4, affine=False),
    "relu, in place": lambda: nn.Sequential(conv(4, 3, 1), nn.ReLU(inplace=True)),
    "relu6": lambda: nn.ReLU6(),
    "hardtanh": lambda: nn.Hardtanh(-0.5, 0.75),
    "clamp": lambda: Of(lambda s, x: x.clamp(min=-0.25)),
    "clamp of one side": lambda: Of(lambda s, x: x.clamp_max(0.5).clamp_min(-1)),
    "leaky_relu": lambda: nn.LeakyReLU(0.2, inplace=False),
    "prelu": lambda: nn.PReLU(init=0.3),
    "sigmoid": lambda: nn.Sigmoid(),
    "tanh": lambda: nn.Tanh(),
    "hardsigmoid": lambda: nn.Hardsigmoid(),
    "hardswish": lambda: nn.Hardswish(),
    "silu": lambda: nn.SiLU(),
    "max_pool2d": lambda: nn.MaxPool2d(2),
    "max_pool2d with padding": lambda: nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True),
    "avg_pool2d": lambda: nn.AvgPool2d((3, 2), stride=(1, 2)),
    "avg_pool2d that counts padding": lambda: nn.AvgPool2d(3, stride=2, padding=1),
    "avg_pool2d that does not": lambda: nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False),
    "avg_pool2d with ceil_mode": lambda: nn.AvgPool2d(2, ceil_mode=True),
    "adaptive_avg_pool2d": lambda: nn.AdaptiveAvgPool2d(1),
    "adaptive_avg_pool2d of parts": lambda: nn.AdaptiveAvgPool2d((3, 5)),
    "adaptive_max_pool2d": lambda: nn.AdaptiveMaxPool2d(1),
    "mean": lambda: Of(lambda s, x: x.mean((2, 3))),
    "mean that keeps axes": lambda: Of(lambda s, x: x.mean((-1, -2), keepdim=True)),
    "flatten and linear": lambda: nn.Sequential(nn.Flatten(), linear(120, 5)),
    "view and linear": lambda: Of(lambda s, x: s.d(x.view(x.size(0), -1)), d=linear(120, 5, bias=False)),
    "permute, reshape and linear": lambda: Of(swapped, d=linear(120, 5)),
    "transpose twice": lambda: Of(lambda s, x: s.c(x.transpose(1, 2).transpose(2, 1)), c=conv(4, 2, 1)),
    "squeeze and unsqueeze": lambda: Of(
        lambda s, x: s.d(F.adaptive_avg_pool2d(x, 1).squeeze(3).squeeze(-1)).unsqueeze(2).unsqueeze(-1),
        d=linear(4, 3),
    ),
    "pad": lambda: Of(lambda s, x: s.c(F.pad(x, (1, 2, 0, 1))), c=conv(4, 2, 3)),
    "cat": lambda: Of(lambda s, x: torch.cat([s.c(x), x, s.e(x)], 1), c=conv(4, 2, 1), e=conv(4, 3, 1)),
    "cat of rows": lambda: Of(lambda s, x: torch.cat((s.c(x), x), dim=-2), c=conv(4, 4, 1)),
    "cat of vectors": lambda: Of(
        lambda s, x: s.d(torch.cat([s.c(x).flatten(1), x.mean((2, 3))], 1)), c=conv(4, 2, (3, 2)), d=linear(36, 3)
    ),
    "add and sub": lambda: Of(
        lambda s, x: torch.sub(torch.add(s.c(x), x, alpha=2), s.e(x)), c=conv(4, 4, 1), e=conv(4, 4, 1)
    ),
    "add, sub, mul and div of numbers": lambda: Of(lambda s, x: 3 - (x * 2 + 1 - 0.5) / 4),
    "add and mul per channel": lambda: Of(
        lambda s, x: s.b + x * s.a, a=torch.randn(4, 1, 1), b=torch.randn(1, 4, 1, 1)
    ),
    "mul as a gate": lambda: Of(lambda s, x: x * torch.sigmoid(s.c(F.adaptive_avg_pool2d(x, 1))), c=conv(4, 4, 1)),
    "maximum and minimum": lambda: Of(
        lambda s, x: torch.minimum(torch.maximum(s.c(x), x), s.e(x)), c=conv(4, 4, 1), e=conv(4, 4, 1)
    ),
    "changed in place": lambda: Of(changed_in_place, c=conv(4, 4, 1)),
    "dropout": lambda: nn.Sequential(nn.Dropout2d(0.5), conv(4, 2, 1), nn.Dropout(0.5)),
    "softmax over channels": lambda: nn.Softmax(1),
    "channels last": lambda: Of(lambda s, x: s.c(x.permute(0, 3, 1, 2)), c=conv(5, 2, 3)),
}
VECTORS = {
    "linear": lambda: linear(12, 5),
    "matmul and add": lambda: Of(lambda s, x: x @ s.w + s.b, w=torch.randn(12, 3), b=torch.randn(3)),
    "addmm": lambda: Of(
        lambda s, x: torch.addmm(s.b, x, s.w.t(), beta=0.5, alpha=2), w=torch.randn(3, 12), b=torch.randn(3)
    ),
    "batch normalization of vectors": lambda: nn.Sequential(linear(12, 5), normalization(nn.BatchNorm1d, 5)),
    "log_softmax": lambda: nn.Sequential(linear(12, 5), nn.LogSoftmax(dim=1)),
}


def saved(program) -> bytes:
    """The file without what may differ from run to run."""
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    target, found = io.BytesIO(), io.BytesIO()
    torch.export.save(program, found)
    with zipfile.ZipFile(found) as source, zipfile.ZipFile(target, "w") as archive:
        for name in source.namelist():
            if "sample_inputs" not in name and "serialization_id" not in name:
                archive.writestr(zipfile.ZipInfo(name.replace("archive/", "m/")), source.read(name))
    return target.getvalue()


torch.manual_seed(0)
inputs = {len(shape): torch.randn(FRAMES, *shape).half().float() for shape in (IMAGE, VECTOR)}
parts = {"models": [], "y": []}
cases = [(name, 3, build) for name, build in IMAGES.items()] + [(name, 1, build) for name, build in VECTORS.items()]
for number, (_, axes, build) in enumerate(cases):
    torch.manual_seed(number)
    module, x = build().eval(), inputs[axes]
    with torch.no_grad():
        parts["y"].append(module(x).numpy().reshape(-1))
        whole = torch.export.export(module, (x,), dynamic_shapes=({0: torch.export.Dim("n", max=9)},), strict=False)
        fixed = torch.export.export(module, (x,), strict=False)
        for program in (whole, fixed, whole.run_decompositions()):
            parts["models"].append(np.frombuffer(saved(program), np.uint8))
arrays = {f"{name}_ends": np.cumsum([len(part) for part in values]) for name, values in parts.items()}
arrays |= {name: np.concatenate(values) for name, values in parts.items()}
arrays |= {f"x_{axes}": x.numpy() for axes, x in inputs.items()}
np.savez_compressed("io.npz", **arrays, operators=np.array([name for name, _, _ in cases]))
Path("README").write_text(f"{__doc__.strip()}\n\nMade by make.py with {versions('torch')}.\n")
print(len(cases), "modules,", Path("io.npz").stat().st_size, "bytes")
