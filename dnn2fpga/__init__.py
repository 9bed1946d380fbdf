"""dnn2fpga: from a trained Keras model to a bit-exact, pipelined FPGA accelerator in plain Verilog.

The names below are the Python interface (docs/python_api.md). They are imported when they are first used, so that
``import dnn2fpga`` is quick and needs no TensorFlow.
"""

# ruff: noqa: F401 - type checkers see the imports; at run time __getattr__ makes them

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dnn2fpga.version import __version__

if TYPE_CHECKING:
    from dnn2fpga.build.settings import BuildSettings
    from dnn2fpga.config import Verification
    from dnn2fpga.data import Data, load_data
    from dnn2fpga.errors import UserError
    from dnn2fpga.flow import build, generate, power, quantize, read_model, search, synthesize, trace, verify
    from dnn2fpga.optimize.post_training import Quantization
    from dnn2fpga.optimize.settings import Optimization, SearchSettings
    from dnn2fpga.plan.settings import PlanSettings
    from dnn2fpga.progress import Progress
    from dnn2fpga.read.settings import ReadSettings
    from dnn2fpga.task import TaskKind

_MODULES = {
    "dnn2fpga.flow": (
        "build",
        "generate",
        "power",
        "quantize",
        "read_model",
        "search",
        "synthesize",
        "trace",
        "verify",
    ),
    "dnn2fpga.data": ("Data", "load_data"),
    "dnn2fpga.optimize.post_training": ("Quantization",),
    "dnn2fpga.optimize.settings": ("Optimization", "SearchSettings"),
    "dnn2fpga.plan.settings": ("PlanSettings",),
    "dnn2fpga.read.settings": ("ReadSettings",),
    "dnn2fpga.config": ("Verification",),
    "dnn2fpga.build.settings": ("BuildSettings",),
    "dnn2fpga.task": ("TaskKind",),
    "dnn2fpga.progress": ("Progress",),
    "dnn2fpga.errors": ("UserError",),
}

_PLACES = {name: module for module, names in _MODULES.items() for name in names}
__all__ = ["__version__", *sorted(_PLACES)]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    found = getattr(import_module(_PLACES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})


# Four functions are called like packages of ours. A package becomes an attribute of this one when it is first imported,
# and only then: imported here, where it is empty, it does not take the place of the function later.
for _name in ("build", "generate", "quantize", "verify"):
    import_module(f"{__name__}.{_name}")
    del globals()[_name]
