"""Float torch networks that several samples quantize or export."""

import torch
from torch import nn


class Residual(nn.Module):
    """Convolution, a block of a depthwise and a linear 1x1 convolution added to its input, pooling, stride 2, dense."""

    def __init__(self, classes: int = 4):
        super().__init__()
        self.c1, self.n1 = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.dw, self.n2 = nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False), nn.BatchNorm2d(4)
        self.pw = nn.Conv2d(4, 4, 1)
        self.c2 = nn.Conv2d(4, 6, 3, stride=2, padding=1)
        self.d = nn.Linear(24, classes)

    def forward(self, x):
        x = torch.relu(self.n1(self.c1(x)))
        x = torch.relu(x + self.pw(torch.relu(self.n2(self.dw(x)))))
        x = torch.relu(self.c2(nn.functional.max_pool2d(x, 2)))
        return self.d(x.flatten(1))


class Dense(nn.Module):
    """Three dense layers."""

    def __init__(self, features: int = 12, classes: int = 4):
        super().__init__()
        self.d1, self.d2, self.d3 = nn.Linear(features, 16), nn.Linear(16, 10), nn.Linear(10, classes)

    def forward(self, x):
        return self.d3(torch.relu(self.d2(torch.relu(self.d1(x)))))


def export(model: nn.Module, x: torch.Tensor, path: str) -> None:
    """ONNX by the TorchScript exporter, which folds batch normalizations, with a free batch size."""
    torch.onnx.export(
        model,
        (x[:1],),
        path,
        opset_version=17,
        dynamo=False,
        input_names=["x"],
        output_names=["y"],
        dynamic_axes={"x": {0: "batch"}, "y": {0: "batch"}},
    )


class Branches(nn.Module):
    """Two branches and their concatenation, leaky ReLU, average poolings, a dense layer without bias, sigmoid."""

    def __init__(self, classes: int = 4):
        super().__init__()
        self.c1 = nn.Conv2d(2, 4, 3, padding=1)
        self.left, self.right = nn.Conv2d(4, 3, 1), nn.Conv2d(4, 3, 3, padding=1)
        self.c2 = nn.Conv2d(6, 5, 2)
        self.d1, self.d2 = nn.Linear(5, 8, bias=False), nn.Linear(8, classes)

    def forward(self, x):
        x = nn.functional.leaky_relu(self.c1(x), 0.2)
        x = torch.cat([torch.relu(self.left(x)), self.right(x)], dim=1)
        x = nn.functional.avg_pool2d(x, 2)
        x = torch.relu(self.c2(x)).mean((2, 3))
        return torch.sigmoid(self.d2(torch.relu(self.d1(x))))
