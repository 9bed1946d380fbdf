"""The formats of models that are read, and which reader reads each. A front end is a module, and a line here.

A reader has a function ``(path, settings) -> Graph`` that raises ``UserError`` with all problems of a model; it builds
the graph with `GraphBuilder`. It is imported when a file of its kind comes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path

from dnn2fpga.files.atomic import digest, digest_of_all
from dnn2fpga.graph.float import Graph
from dnn2fpga.graph.origin import Origin
from dnn2fpga.read.settings import ReadSettings


@dataclass(frozen=True)
class FrontEnd:
    """A kind of model file.

    :param name: for people.
    :param suffixes: in lower case, with the dot.
    :param module: of the reader.
    :param function: of the module.
    :param has_rules: whether `ReadSettings.rule` decides how its integers are rounded.
    """

    name: str
    suffixes: tuple[str, ...]
    module: str
    function: str
    has_rules: bool = False

    def read(self, path: Path, settings: ReadSettings) -> Graph:
        """Read a file, and note where the graph comes from."""
        graph: Graph = getattr(import_module(self.module), self.function)(path, settings)
        rule = settings.rule if self.has_rules else None
        weights = settings.weights
        sha256 = digest_of_all({"model": path, "weights": weights}) if weights else digest(path)
        origin = Origin(file=path.name, sha256=sha256, reader=graph.tool or self.name, rule=rule)
        return replace(graph, origin=origin)


KERAS = FrontEnd("Keras", (".keras", ".h5", ".hdf5", ".json"), "dnn2fpga.read.keras", "read_keras_model")
TFLITE = FrontEnd("TensorFlow Lite", (".tflite",), "dnn2fpga.read.tflite", "read_tflite", has_rules=True)
ONNX = FrontEnd("ONNX", (".onnx",), "dnn2fpga.read.onnx", "read_onnx")
TORCH = FrontEnd("PyTorch", (".pt2",), "dnn2fpga.read.torch", "read_torch")
FRONT_ENDS = (KERAS, ONNX, TFLITE, TORCH)


def suffixes() -> tuple[str, ...]:
    """Return the suffixes of all files that can be read."""
    return tuple(suffix for one in FRONT_ENDS for suffix in one.suffixes)


def read_model(path: Path | str, settings: ReadSettings | None = None) -> Graph:
    """Read a trained model as a graph of float layers; of `Quantizer` as well, where it brings its own integers.

    :raises UserError: with everything in it that is not supported, or what the file is when it is no model.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    front_end = next((one for one in FRONT_ENDS if suffix in one.suffixes), KERAS)  # which says what other files are
    return front_end.read(path, settings or ReadSettings())
