"""From a model that brings its own integers to the configuration files: nothing is calibrated, nothing is chosen."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from dnn2fpga.data import Data, save_inputs
from dnn2fpga.errors import UserError
from dnn2fpga.files.atomic import added_files
from dnn2fpga.files.described import Described
from dnn2fpga.files.records import digests, write_record
from dnn2fpga.graph import files as config_files
from dnn2fpga.graph.float import Graph
from dnn2fpga.graph.origin import Origin
from dnn2fpga.graph.ports import by_name
from dnn2fpga.optimize.post_training import Quantization
from dnn2fpga.optimize.settings import Optimization
from dnn2fpga.passes.to_integers import Integers, to_integers
from dnn2fpga.progress import Progress
from dnn2fpga.read.settings import ReadSettings
from dnn2fpga.task import Measure, overall
from dnn2fpga.task_reading import task_lines
from dnn2fpga.work_folder import CONFIGURATION, PLOT, QUANTIZATION, SAMPLES, SEARCH, SEARCH_PLOT, SOURCE, WorkFolder

KEPT_SAMPLES = 16  # of the test data, for the bundle's own test vectors


class SourceResult(Described):
    """The fate of a model that brings its own integers, for people and for ``source.json``.

    :param requantizers: how many lanes have which kind.
    :param margin: the smallest distance of any sum from a border between two codes, in codes; None where the source
        rounds in integers, or in powers of two.
    :param source_score, integer_score: on test data; None without.
    """

    origin: Origin | None
    task: str
    layers: dict[str, int]
    requantizers: dict[str, int]
    margin: float | None
    measure: Measure | None
    source_score: float | None
    integer_score: float | None
    test_samples: int
    integer_megabytes: float

    @property
    def met(self) -> bool:
        """Always: there is no target, the integers are those of the source."""
        return True


def take_integers(
    graph: Graph, test: Data | None, folder: Path, settings: ReadSettings, progress: Progress
) -> SourceResult:
    """Write ``model.yaml`` and ``weights.npz`` with the integers that a model brings.

    :param graph: with its tasks decided.
    :raises UserError: with every layer that cannot be computed in integers exactly.
    """
    found = to_integers(graph, settings.input_encoding, progress)
    result = _result(found, test)
    with added_files(folder) as new:
        config_files.save(found.graph, new)
        if test is not None:
            save_inputs(test.sample(KEPT_SAMPLES), found.graph, new / SAMPLES)
        write_record(new, SOURCE, result.model_dump(mode="json"), digests(new, CONFIGURATION))
    outdated = (QUANTIZATION, PLOT, SEARCH, SEARCH_PLOT, *((SAMPLES,) if test is None else ()))
    WorkFolder(folder).remove(*outdated)
    return result


def refuse_choices(graph: Graph, data: object, quantization: Quantization, optimization: Optimization) -> None:
    """Refuse what can only be chosen for a model in floating point.

    :raises UserError: with everything that was chosen.
    """
    chosen = [f"quantization.{name}" for name in sorted(quantization.model_fields_set)]
    chosen += ["a target"] if optimization.is_given else []
    chosen += ["data to calibrate with"] if data is not None else []
    if chosen:
        raise UserError(
            f"model '{graph.name}' brings its own integers, so there is nothing to choose, but given are: "
            f"{', '.join(chosen)}; leave them out, or treat it as a model in floating point with --requantize"
        )


def _result(found: Integers, test: Data | None) -> SourceResult:
    scores, of_source = {}, {}
    if test is not None:
        reference = by_name(found.source.run(test.x), found.graph.outputs)
        outputs, labels = by_name(found.graph.predict(test.x), found.graph.outputs), test.labels(found.graph.outputs)
        for name, task in found.graph.tasks.items():
            of_source[name] = task.score(reference[name], labels.get(name), reference[name])
            scores[name] = task.score(outputs[name], labels.get(name), reference[name])
    reached, wanted = overall(scores), overall(of_source)
    return SourceResult(
        origin=found.graph.origin,
        task="\n".join(task_lines(found.source, test)),
        layers=dict(Counter(layer.kind for layer in found.graph.layers)),
        requantizers={way.value: lanes for way, lanes in found.ways.items() if lanes},
        margin=found.margin,
        measure=reached.measure if reached else None,
        source_score=wanted.value if wanted else None,
        integer_score=reached.value if reached else None,
        test_samples=len(test) if test is not None else 0,
        integer_megabytes=found.graph.weight_bits / 8e6,
    )
