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
