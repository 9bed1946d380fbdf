"""The formats of models that are read, and which reader reads each. A front end is a module, and a line here.

A reader has a function ``(path) -> Graph`` that raises ``UserError`` with all problems of a model; it builds the graph
with `GraphBuilder`. It is imported when a file of its kind comes.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from dnn2fpga.graph.float import Graph


@dataclass(frozen=True)
class FrontEnd:
    """A kind of model file.

    :param suffixes: in lower case, with the dot.
    :param module: of the reader.
    :param function: of the module.
    """

    suffixes: tuple[str, ...]
    module: str
    function: str

    def read(self, path: Path) -> Graph:
        graph: Graph = getattr(import_module(self.module), self.function)(path)
        return graph


KERAS = FrontEnd((".keras", ".h5", ".hdf5"), "dnn2fpga.read.keras", "read_keras_model")
TFLITE = FrontEnd((".tflite",), "dnn2fpga.read.tflite", "read_tflite_model")
FRONT_ENDS = (KERAS, TFLITE)


def read_model(path: Path | str) -> Graph:
    """Read a trained model as a graph of float layers.

    :raises UserError: with everything in it that is not supported, or what the file is when it is no model.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    front_end = next((one for one in FRONT_ENDS if suffix in one.suffixes), KERAS)  # which says what other files are
    return front_end.read(path)
