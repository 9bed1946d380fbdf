"""Whether a simulation that found nothing wrong has looked at everything: each beat at each boundary, each cycle.

The checker says "passed"; here it must show how many beats of which frames it compared, and which cycles it measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dnn2fpga.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Demand:
    """What a test that passed must have done.

    `timed`: nothing stalled, so that every boundary must have met the cycles of the plan; `steady`: and so many frames
    were sent that the interval must have been measured.
    """

    name: str
    least_frames: int
    most_frames: int | None = None  # None: the test may repeat frames
    timed: bool = False
    steady: bool = False


def demand_all(
    manifest: Mapping[str, Any], tests: Sequence[Mapping[str, Any]], demands: Sequence[Demand], build_dir: Path
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


def _missing(manifest: Mapping[str, Any], test: Mapping[str, Any], demand: Demand) -> Iterator[str]:
    frames, boundaries = test.get("frames", 0), manifest["boundaries"]
    if frames < demand.least_frames or (demand.most_frames is not None and frames > demand.most_frames):
        yield f"the number of frames must be {demand.least_frames}, not {frames}"
    wanted = [frames * b["beats"] for b in boundaries] + [frames * manifest["output"]["beats"]]
    compared = [*test.get("beats_compared", []), test.get("output_beats_compared", 0)]
    if compared != wanted or not all(compared):
        yield f"beats compared must be {wanted} (at each boundary, then at m_axis), not {compared}"
    if demand.timed:
        for key in ("first_cycle", "last_cycle"):
            cycles = [b[key] for b in boundaries]
            if test.get(f"{key}s") != cycles:
                yield f"the {key} of each boundary must be measured as {cycles}, not {test.get(f'{key}s')}"
        if test.get("latency_cycles") != manifest["latency_cycles"]:
            yield f"latency_cycles must be {manifest['latency_cycles']}, not {test.get('latency_cycles')}"
    if demand.steady and test.get("interval_cycles", [None])[-1] != manifest["interval_cycles"]:
        yield f"interval_cycles must be {manifest['interval_cycles']}, not {test.get('interval_cycles')}"
