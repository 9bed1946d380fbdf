"""Training of torch modules."""

import numpy as np
import torch
from torch import nn

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)


def channels_first(frames: np.ndarray) -> torch.Tensor:
    return torch.tensor(frames.transpose(0, 3, 1, 2).copy())


def train(model: nn.Module, frames: torch.Tensor, labels: np.ndarray, epochs: int = 8, rate: float = 5e-3) -> None:
    """Train a classifier briefly, and leave it in evaluation mode."""
    model.train()
    optimizer, targets = torch.optim.Adam(model.parameters(), rate), torch.tensor(labels)
    for _ in range(epochs):
        for batch in torch.randperm(len(frames)).split(32):
            optimizer.zero_grad()
            found = model(frames[batch])
            nn.functional.cross_entropy(getattr(found, "value", found), targets[batch]).backward()
            optimizer.step()
    model.eval()


class _Recorder(torch.fx.Interpreter):
    """Keeps the value of every node that computes a tensor with one entry per frame."""

    def __init__(self, module: torch.fx.GraphModule):
        super().__init__(module)
        self.values: dict[str, np.ndarray] = {}

    def run_node(self, node: torch.fx.Node):
        value = super().run_node(node)
        if node.op == "call_function" and isinstance(value, torch.Tensor):
            self.values[node.name] = value.numpy()
        return value


def export_pt2(model: nn.Module, x: torch.Tensor, traced: int | None = None) -> dict[str, np.ndarray]:
    """Write `model.pt2`, with a free batch size, and return what the module and the loaded file compute.

    `y` are the module's outputs, `y_loaded` those of the file, `t_<node>` every tensor of its first `traced` frames.
    Stack traces are dropped, as they hold paths of the machine, and so is the storage behind the example inputs.
    """
    batch = torch.export.Dim("batch", min=1, max=1024)
    program = torch.export.export(model, (x[:2].clone(),), dynamic_shapes=({0: batch},))
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    torch.export.save(program, "model.pt2")
    loaded = torch.export.load("model.pt2").module()
    with torch.no_grad():
        arrays = {"x": x.numpy(), "y": model(x).numpy(), "y_loaded": loaded(x).numpy()}
        recorder = _Recorder(loaded)
        recorder.run(x[:traced])
    print("  " + " ".join(recorder.values), "| equal", np.array_equal(arrays["y"], arrays["y_loaded"]))
    return arrays | {f"t_{name}": value for name, value in recorder.values.items()}
