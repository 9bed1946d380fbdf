"""Random widths and weights for an HGQ2 model that is not trained: whatever training could leave, and more."""

import keras
import numpy as np


def randomize(model: keras.Model, seed: int) -> None:
    """Give every quantizer and every layer of a model other variables: one in ten has no bits; formats wrap."""
    rng = np.random.default_rng(seed)
    for layer in model._flatten_layers():
        if type(layer).__name__.startswith("FixedPointQuantizer"):
            shape = layer._k.shape
            integer, fraction = (rng.integers(low, high, shape).astype("float32") for low, high in ((-1, 4), (0, 6)))
            fraction[rng.uniform(size=shape) < 0.1] = -6
            layer._k.assign(rng.uniform(size=shape) < 0.75)
            layer._i.assign(integer + rng.uniform(-0.45, 0.45, shape))
            if hasattr(layer, "_f"):
                layer._f.assign(fraction + rng.uniform(-0.45, 0.45, shape))
            else:
                layer._b.assign(np.maximum(0, integer + fraction) + rng.uniform(0, 0.45, shape))
            continue
        for variable in layer._trainable_variables + layer._non_trainable_variables:
            if variable.name not in ("ebops", "beta") or variable.shape:
                positive = "variance" in variable.name
                drawn = rng.uniform(0.1, 3, variable.shape) if positive else rng.normal(0, 1.2, variable.shape)
                variable.assign(drawn)


def numbers(count: int, *shape: int, seed: int) -> np.ndarray:
    """Inputs in k/512, -8 to 8, far outside of most formats."""
    return (np.random.default_rng(seed).integers(-4096, 4096, (count, *shape)) / 512).astype("float32")
