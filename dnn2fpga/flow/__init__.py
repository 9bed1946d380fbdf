"""The steps from a model file to a verified bundle, each from what the step before it wrote.

The command line is a thin layer over these functions; they are the Python interface as well (docs/python_api.md), where
``dnn2fpga.quantize`` is ``flow.quantize``::

    model = dnn2fpga.read_model("model.keras")
    dnn2fpga.quantize(model, "train.npz", test="test.npz", work="work")   # model.yaml, weights.npz
    dnn2fpga.generate("work")                                             # bundle/
    dnn2fpga.verify("work", "test.npz")                                   # verification.json
    dnn2fpga.synthesize("work")                                           # synthesis.json
    dnn2fpga.build("work", "ulx3s_85f")                                   # build/ulx3s_85f/, with a bitstream

A step that uses a bundle demands that it is still what was generated from the files beside it (``WorkFolder``).
"""

from __future__ import annotations

from dnn2fpga.flow.bundles import build, generate, power, synthesize, verify
from dnn2fpga.flow.models import data_for, quantize, read_model, search
from dnn2fpga.flow.tracing import trace

__all__ = [
    "build",
    "data_for",
    "generate",
    "power",
    "quantize",
    "read_model",
    "search",
    "synthesize",
    "trace",
    "verify",
]
