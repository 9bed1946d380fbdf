"""The check that a simulation that found nothing wrong has looked at everything: each beat at each boundary, each
cycle.

The checker says "passed"; here it must show how many beats of which frames it compared, and which cycles it measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dnn2fpga.errors import UserError
from dnn2fpga.generate.manifest import Manifest


@dataclass(frozen=True, kw_only=True)
class Demand:
    """The work that a test that passed must have done.

    `timed`: nothing stalled, so that every boundary must have met the cycles of the plan; `steady`: and enough frames
    were sent that the interval must have been measured.
    """

    name: str
    least_frames: int
    most_frames: int | None = None  # None: the test may repeat frames
    timed: bool = False
    steady: bool = False


def demand_all(
    manifest: Manifest, tests: Sequence[Mapping[str, Any]], demands: Sequence[Demand], build_dir: Path
) -> None:
    """Raise `UserError` unless the tests are the demanded ones, and each that passed has compared and measured all.

    :param build_dir: of the simulation, for the advice.
    """
    names, wanted = [test.get("name") for test in tests], [demand.name for demand in demands]
    found = [f"the tests must be {wanted}, not {names}"] if names != wanted else []
    for test, demand in zip(tests, demands, strict=False):
        if test.get("passed") is True:
            found += [f"{demand.name}: {problem}" for problem in _missing(manifest, test, demand)]
    if found:
        raise UserError(
            [
                *found,
                "the checker has not compared all that the manifest says, so nothing is verified: "
                f"delete {build_dir} and run 'dnn2fpga verify' again",
            ]
        )


def _missing(manifest: Manifest, test: Mapping[str, Any], demand: Demand) -> Iterator[str]:
    frames = test.get("frames", 0)
    if frames < demand.least_frames or (demand.most_frames is not None and frames > demand.most_frames):
        yield f"the number of frames must be {demand.least_frames}, not {frames}"
    for key, streams in (("beats_compared", manifest.boundaries), ("output_beats_compared", manifest.outputs)):
        wanted, compared = [frames * stream.beats for stream in streams], test.get(key)
        if compared != wanted or not all(wanted):
            yield f"{key} must be {wanted} (one by one), not {compared}"
    predicted: dict[str, Any] = {}
    if demand.timed:
        predicted["first_cycles"] = [b.first_cycle for b in manifest.boundaries]
        predicted["last_cycles"] = [b.last_cycle for b in manifest.boundaries]
        predicted["output_latency_cycles"] = [port.latency_cycles for port in manifest.outputs]
        predicted["latency_cycles"] = manifest.latency_cycles
    if demand.steady:
        predicted["output_interval_cycles"] = [port.interval_cycles for port in manifest.outputs]
    for key, cycles in predicted.items():
        if test.get(key) != cycles:
            yield f"{key} must be measured as {cycles}, not {test.get(key)}"
