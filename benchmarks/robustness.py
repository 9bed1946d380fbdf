"""Hostile files, accidents, tampering and kills: what dnn2fpga must survive, counted.

    python benchmarks/robustness.py                        # everything, about 25 minutes on two cores
    python benchmarks/robustness.py --only models --count 5000 --seed 1

Campaigns: ``models`` (damaged and hostile model files), ``settings`` (YAML and NumPy files), ``accidents`` (of the
command line), ``tampering`` (with bundle and work folder), ``kills`` (and the same command again). Everything together
writes docs/measurements/robustness.md. The exit code is 1 if anything went wrong; what shows it again is kept in
build/robustness/found.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from campaigns import files
from campaigns.trial import Fault, Tally

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "robustness"
REPORT = ROOT / "docs" / "measurements" / "robustness.md"

Campaign = Callable[[Path, int, int, int], Tally]  # folder to work in, count, seed, jobs
CAMPAIGNS: dict[str, tuple[Campaign, int]] = {
    "models": (files.models, 1_000),
    "settings": (files.settings, 500),
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", choices=CAMPAIGNS, action="append", help="this campaign (several times for several)")
    parser.add_argument("--count", type=int, help="trials per campaign, at least")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args(arguments)
    tallies = []
    for name in options.only or CAMPAIGNS:
        campaign, count = CAMPAIGNS[name]
        tally = campaign(BUILD, options.count or count, options.seed, options.jobs)
        tallies.append(tally)
        for kind, words in tally.outcomes.items():
            print(f"  {kind:45} {dict(words)}")
        print(f"{tally.title}: {tally.trials} trials, {tally.opened} open, slowest {tally.slowest:.1f} s, "
              f"largest {tally.largest / 2**20:.0f} MiB", flush=True)
        for fault in Fault:
            print(f"  {fault}: {tally.count(fault)}")
    return int(any(tally.faults for tally in tallies))


if __name__ == "__main__":
    sys.exit(main())
