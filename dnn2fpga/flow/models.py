"""The steps from a model file to the configuration files: `read_model`, `quantize`, `search`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from dnn2fpga.config import DEFAULT_FILE
from dnn2fpga.data import Data, Network, load_data, save_inputs
from dnn2fpga.errors import UserError
from dnn2fpga.files.atomic import added_files
from dnn2fpga.files.records import digests, write_record
from dnn2fpga.graph import files as config_files
from dnn2fpga.optimize.post_training import Quantization
from dnn2fpga.optimize.problem import Candidate, Problem, Try
from dnn2fpga.optimize.result import QuantizationResult
from dnn2fpga.optimize.settings import Optimization, SearchSettings
from dnn2fpga.progress import Progress, silent
from dnn2fpga.read.settings import ReadSettings
from dnn2fpga.report.plots import plot_front, plot_tries
from dnn2fpga.task_reading import Kinds, with_task
from dnn2fpga.work_folder import (
    CONFIGURATION,
    PLOT,
    QUANTIZATION,
    SAMPLES,
    SEARCH,
    SEARCH_PLOT,
    SEARCHES,
    SOURCE,
    STAGES,
    WorkFolder,
)

if TYPE_CHECKING:
    from dnn2fpga.flow.sources import SourceResult
    from dnn2fpga.graph.float import Graph
    from dnn2fpga.optimize.checkpoints import Checkpoints
    from dnn2fpga.optimize.width_search import SearchResult

NO_DATA = "no data to calibrate with is given; name an .npz or .npy file with --data"
KEPT_SAMPLES = 16  # of the calibration data, for the bundle's own test vectors


def read_model(model: Path | str | Any, settings: ReadSettings | None = None, *, example: Any = None) -> Graph:
    """Read a trained model (docs/front_ends.md). No training framework is needed to read a file.

    :param model: the path of its file; or a Keras model (Keras 2 or 3), a PyTorch module or exported program as an
        object, which is saved to a temporary file by its own package.
    :param settings: answers to what the file leaves open.
    :param example: of a PyTorch module: an input with its batch, as a tensor or an array, or a tuple of several.
    :returns: the graph of layers, with its ``inputs`` and ``outputs`` by name; where the model brings its own integers,
        with its quantizers.
    :raises UserError: with everything in the file that cannot be read or is not supported.
    """
    from dnn2fpga.passes.drop_quantizers import drop_quantizers
    from dnn2fpga.passes.simplify import simplify
    from dnn2fpga.passes.to_integers import has_integers
    from dnn2fpga.read import front_ends
    from dnn2fpga.read.live import read_live

    settings = settings or ReadSettings()
    if isinstance(model, Path | str):
        graph = front_ends.read_model(model, settings)
    else:
        graph = read_live(model, settings, example)
    if has_integers(graph) and not settings.requantize:
        return graph
    return simplify(drop_quantizers(graph))


def _graph_of(model: Graph | Path | str | Any, settings: ReadSettings | None = None) -> Graph:
    from dnn2fpga.graph.float import Graph

    return model if isinstance(model, Graph) else read_model(model, settings)


def quantize(
    model: Graph | Path | str | Any,
    data: Data | Path | str | None = None,
    *,
    work: Path | str,
    test: Data | Path | str | None = None,
    task: Kinds = None,
    reading: ReadSettings | None = None,
    quantization: Quantization | None = None,
    optimization: Optimization | None = None,
    progress: Progress = silent,
) -> QuantizationResult | SourceResult:
    """Quantize a model: write ``model.yaml`` and ``weights.npz`` of the first stage's model that reaches the target, or
    of the best one (``met`` says which). A model that brings its own integers keeps them, and needs no data.

    :param model: the graph that `read_model` returns, or what it reads: the model's file, or a Keras model.
    :param data: real inputs ``[samples, *shape]`` for calibration, with labels for training if there are some; or their
        file.
    :param work: the folder in which all steps for this model work; made if it is missing.
    :param test: data by which attempts are scored, or its file; a target needs it.
    :param task: the task of all outputs, or tasks by the name of the output; None: found out from model and labels.
    :param reading: answers to what the model's file leaves open.
    :param quantization: widths, scales and ranges (docs/optimizer.md); None: all by default.
    :param optimization: the target, and the stages that may be run to reach it; None: all by default.
    :param progress: called as the work advances (``Progress``).
    :returns: the stage, the scores of the float and the integer model, and sizes; in ``quantization.json`` too.
    :raises UserError: when the model cannot be read or quantized, data or labels do not fit it, settings contradict
        each other, or a target is given without test data.
    """
    from dnn2fpga.flow.sources import refuse_choices, take_integers
    from dnn2fpga.optimize.loop import check_can_be_judged, optimize
    from dnn2fpga.passes.to_integers import has_integers

    optimization, quantization = optimization or Optimization(), quantization or Quantization()
    reading = reading or ReadSettings()
    graph = _graph_of(model, reading)
    if has_integers(graph):
        refuse_choices(graph, data, quantization, optimization)
        judging = None if test is None else data_for(graph, test)
        return take_integers(with_task(graph, [judging], task), judging, Path(work), reading, progress)
    if data is None:
        raise UserError(NO_DATA)
    given = _given(graph, data, test, task)
    check_can_be_judged(given.test, optimization)  # now, not after pruning and calibration
    folder = Path(work)
    problem, checkpoints = _prepared(given, folder, quantization, optimization, progress)
    outcome = optimize(problem, optimization, checkpoints)
    WorkFolder(folder).remove(PLOT, SEARCH, SEARCH_PLOT, SOURCE)  # of the model before
    with added_files(folder) as new:
        result = _write_chosen(problem, outcome.chosen, outcome.tries, new)
        if optimization.is_given:
            plot_tries(result.tries, result.float_score, optimization.wanted(result.float_score), new / PLOT)
    return result


def search(
    model: Graph | Path | str | Any,
    data: Data | Path | str | None,
    *,
    work: Path | str,
    test: Data | Path | str | None,
    task: Kinds = None,
    reading: ReadSettings | None = None,
    search: SearchSettings | None = None,
    quantization: Quantization | None = None,
    optimization: Optimization | None = None,
    progress: Progress = silent,
) -> SearchResult:
    """Quantize a model with the widths, layer by layer, that a search has found: the cheapest that reach the target, or
    the best (``met`` says which).

    :param model, work, task, reading, quantization, progress: as of `quantize`.
    :param data: real inputs ``[samples, *shape]`` for calibration, and for training where ``search.train`` asks for it;
        or their file.
    :param test: data by which every trial is scored, or its file.
    :param search: the widths, the number of trials, and the cost of a model; None: all by default.
    :param optimization: the target, and the settings of training; None: all by default.
    :returns: the front of cost and score, and the chosen model; in ``search.json`` too.
    :raises UserError: when there is no test data, and as of `quantize`.
    """
    from dnn2fpga.optimize.width_search import search_widths
    from dnn2fpga.passes.to_integers import has_integers

    if data is None:
        raise UserError(NO_DATA)
    if test is None:
        raise UserError("a search judges every trial on test data: give it with --test")
    graph = _graph_of(model, reading)
    if has_integers(graph):
        raise UserError(f"model '{graph.name}' brings its own integers: --requantize lets a search choose others")
    settings, optimization = search or SearchSettings(), optimization or Optimization()
    folder, quantization = Path(work), quantization or Quantization()
    given = _given(graph, data, test, task)
    problem, _ = _prepared(given, folder, quantization, optimization, progress)
    found = search_widths(problem, settings, optimization.training, folder / SEARCHES)
    layers = found.chosen.settings.model_dump(mode="json", include={"layers"}, exclude_none=True)
    with added_files(folder / SEARCHES) as new:
        (new / DEFAULT_FILE).write_text(yaml.safe_dump({"quantization": layers}), encoding="utf-8")
    WorkFolder(folder).remove(PLOT, SOURCE)
    with added_files(folder) as new:
        _write_chosen(problem, found.chosen, [one.result for one in found.front], new)
        write_record(new, SEARCH, found.result.model_dump(mode="json"), digests(new, CONFIGURATION))
        plot_front(found.result, new / SEARCH_PLOT)
    return found.result


@dataclass(frozen=True)
class _Given:
    """A model with its tasks decided, and data that fit it."""

    graph: Graph
    data: Data
    test: Data | None


def _given(graph: Graph, data: Data | Path | str, test: Data | Path | str | None, task: Kinds) -> _Given:
    read = data_for(graph, data)
    judging = None if test is None else data_for(graph, test)
    return _Given(with_task(graph, (read, judging), task), read, judging)


def data_for(network: Network, data: Data | Path | str) -> Data:
    """Return data that fits a network, read from a file if it is given as a path.

    :param network: the float graph or the integer model, with its inputs, outputs and tasks.
    :param data: real inputs ``[samples, *shape]`` with labels or without; or an ``.npz`` file or folder.
    :raises UserError: when the file cannot be read, or the data does not fit the network.
    """
    return data.require(network) if isinstance(data, Data) else load_data(data, network)


def _prepared(
    given: _Given, folder: Path, quantization: Quantization, optimization: Optimization, progress: Progress
) -> tuple[Problem, Checkpoints]:
    from dnn2fpga.optimize.preparation import prepare

    folder.mkdir(parents=True, exist_ok=True)
    return prepare(given.graph, given.data, given.test, quantization, optimization, folder / STAGES, progress)


def _write_chosen(problem: Problem, chosen: Candidate, tries: Iterable[Try], new: Path) -> QuantizationResult:
    """The configuration files, samples for the bundle's own test, and how the model was found."""
    result = QuantizationResult.of(problem, chosen, tries)
    config_files.save(chosen.model, new)
    save_inputs(problem.data.sample(KEPT_SAMPLES), problem.graph, new / SAMPLES)
    write_record(new, QUANTIZATION, result.model_dump(mode="json"), digests(new, CONFIGURATION))
    return result
