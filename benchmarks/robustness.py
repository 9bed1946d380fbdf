"""Hostile files, accidents, tampering and kills: what dnn2fpga must survive, counted.

    python benchmarks/robustness.py                        # everything, about 25 minutes on two cores
    python benchmarks/robustness.py --only models --count 5000 --seed 1

Campaigns: ``models`` (damaged and hostile model files), ``settings`` (YAML and NumPy files), ``accidents`` (of the
command line), ``tampering`` (with bundle and work folder), ``kills`` (and the same command again). The counts of each
are kept in docs/measurements/robustness.json, and robustness.md beside it tells them. The exit code is 1 if anything
went wrong; what shows it again is kept in build/robustness/found.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from campaigns.accidents import accidents_campaign
from campaigns.files import models, settings
from campaigns.kills import kills_campaign
from campaigns.page import counted, page
from campaigns.tampering import tampering_campaign
from campaigns.trial import Fault, Tally

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "robustness"
REPORT = ROOT / "docs" / "measurements" / "robustness.json"  # and .md

Campaign = Callable[[Path, int, int, int], Tally]  # the folder to work in, count, seed, jobs
# With the trials that each must have, at least.
CAMPAIGNS: dict[str, tuple[Campaign, int]] = {
    "models": (models, 1_000),
    "settings": (settings, 500),
    "accidents": (accidents_campaign, 60),
    "tampering": (tampering_campaign, 30),
    "kills": (kills_campaign, 50),
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", choices=CAMPAIGNS, action="append", help="this campaign (again for more)")
    parser.add_argument(
        "--count", type=int, help="trials per campaign, at least; accidents and tamperings are always all"
    )
    parser.add_argument("--seed", type=int, default=0, help="another seed produces other files (default 0)")
    parser.add_argument("--jobs", type=int, default=2, help="trials at a time (default 2)")
    parser.add_argument(
        "--report", type=Path, default=REPORT, help=f"counts to keep (default {REPORT.relative_to(ROOT)})"
    )
    parser.add_argument(
        "--work", type=Path, default=BUILD, help=f"folder to work in (default {BUILD.relative_to(ROOT)})"
    )
    options = parser.parse_args(arguments)
    start, tallies, few = time.monotonic(), [], []
    for name in options.only or CAMPAIGNS:
        campaign, least = CAMPAIGNS[name]
        count = options.count or least
        tally = campaign(options.work.absolute(), count, options.seed, options.jobs)
        tallies.append(tally)
        chosen = f"--only {name}{f' --count {options.count}' if options.count else ''} --seed {options.seed}"
        _keep(options.report, name, counted(tally, f"python benchmarks/robustness.py {chosen}"))
        if tally.trials < min(count, least):
            few.append(f"{tally.title}: only {tally.trials} trials")
        print(
            f"{tally.title}: {tally.trials} trials, {len(tally.faults)} faults, {time.monotonic() - start:.0f} s",
            flush=True,
        )
    for fault in Fault:
        print(f"{fault}: {sum(tally.count(fault) for tally in tallies)}")
    for line in few:
        print(f"FAILED: {line}", file=sys.stderr)
    return int(bool(few) or any(tally.faults for tally in tallies))


def _keep(report: Path, name: str, tally: dict[str, Any]) -> None:
    """The counts of one campaign in place of those before, and the page of all."""
    known = json.loads(report.read_text(encoding="utf-8")) if report.is_file() else {}
    known[name] = tally
    ordered = {name: known[name] for name in CAMPAIGNS if name in known}
    report.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")
    report.with_suffix(".md").write_text(page(ordered.values()), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
