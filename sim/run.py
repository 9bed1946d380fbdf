"""Simulates the bundle: `python sim/run.py` runs all tests on `sim/vectors`, `--bulk DIR` streams a whole folder.

Exit code 0: everything was equal. 1: a mismatch or a failed test. 2: nothing could be tested (bad bundle or usage,
missing tool).
"""

from __future__ import annotations

import argparse
import json
import logging
import re
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

SIM = Path(__file__).resolve().parent
if str(SIM) not in sys.path:  # when imported from elsewhere
    sys.path.insert(0, str(SIM))

from builds import build_cocotb, exclusive, log_tail  # noqa: E402 - needs the path above
from bulk import run_bulk  # noqa: E402
from bundle import Manifest, load_manifest  # noqa: E402
from errors import BundleError, SimulationError, ToolError  # noqa: E402
from report import run_command  # noqa: E402
from stalls import PATTERNS  # noqa: E402
from toolchain import find_toolchain  # noqa: E402
from vector_files import open_vectors  # noqa: E402

TESTS = (
    "no_stalls",
    "source_stalls",
    "sink_stalls",
    "random_stalls",
    "burst_stalls",
    "full_stalls",
    "reset_in_mid_frame",
    "starve_stalls",
    "refuse_stalls",
)


def tests_of(manifest: Manifest) -> tuple[str, ...]:
    """The tests that tell something about a design: one port in turn stalls only where there are joins, or outputs."""
    joins = len(manifest.inputs) > 1 or any(len(b.inputs) > 1 for b in manifest.boundaries)
    skipped = [] if joins else ["starve_stalls"]
    skipped += [] if len(manifest.outputs) > 1 else ["refuse_stalls"]
    return tuple(test for test in TESTS if test not in skipped)


def run_tests(
    bundle: Path,
    vectors: Path | None = None,
    *,
    tests: Sequence[str] = (),
    seed: int = 1,
    frames: int | None = None,
    first_frame: int = 0,
    waves: bool = False,
    build_dir: Path | None = None,
    plusargs: Sequence[str] = (),
) -> dict[str, Any]:
    """Run cocotb tests on a bundle (those of its kind of network, unless named) and return the results of README.md.

    Raises `BundleError` or `ToolError` when nothing could be run.
    """
    unknown = [name for name in tests if name not in TESTS]
    if unknown:
        raise BundleError(f"a test must be one of {', '.join(TESTS)}, not {', '.join(unknown)}")
    manifest = load_manifest(bundle)
    tests = tests or tests_of(manifest)
    selected = open_vectors(vectors or bundle / "sim" / "vectors", manifest, first=first_frame, frames=frames)
    for boundary in manifest.boundaries:
        selected.lanes(boundary, 0, 0)  # reads the file, and refuses numbers that their format cannot hold
    toolchain = find_toolchain()
    command = run_command(bundle, build_dir, plusargs)
    command += ["--vectors", str(vectors.resolve())] if vectors else []
    command += ["--first-frame", str(first_frame)] if first_frame else []
    command += ["--frames", str(frames)] if frames else []
    build_dir = (build_dir or bundle / "sim" / "build").resolve()
    settings = {
        "bundle": str(bundle.resolve()),
        "vectors": str(selected.folder),
        "first_frame": first_frame,
        "frames": frames,
        "seed": seed,
        "records": str(build_dir / "cocotb-run"),
        "command": [*command, "--seed", str(seed)],
    }
    with exclusive(build_dir), toolchain.environment():
        folder = build_cocotb(manifest, toolchain, build_dir, waves=waves)
        records = _simulate(folder, manifest.top, settings, tests, waves, plusargs)
    return {
        "results_version": 2,
        "mode": "cocotb",
        "passed": all(record["passed"] for record in records),
        "model": manifest.model,
        "verilator": toolchain.version,
        "vectors": str(selected.folder),
        "first_frame": first_frame,
        "frames": selected.frames,
        "seed": seed,
        "changed_files": manifest.changed_files(),
        "tests": records,
        "log": str(build_dir / "cocotb-run" / "log.txt"),
        "waves": str(build_dir / "cocotb-run" / "dump.vcd") if waves else None,
    }


def _simulate(
    folder: Path, top: str, settings: dict[str, Any], tests: Sequence[str], waves: bool, plusargs: Sequence[str]
) -> list[dict[str, Any]]:
    """Start the simulator on the built design, and collect one record for every test that was asked for."""
    from cocotb_tools.runner import get_runner

    run_dir = Path(settings["records"])
    run_dir.mkdir(exist_ok=True)
    for old in (*run_dir.glob("*.json"), *run_dir.glob("*.xml"), *run_dir.glob("*.vcd")):
        old.unlink()
    (run_dir / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    results, log = run_dir / "results.xml", run_dir / "log.txt"
    logging.getLogger("Verilator").setLevel(logging.CRITICAL)
    # when the simulator fails, the records that are missing tell which tests it took along
    with suppress(RuntimeError, SystemExit):
        get_runner("verilator").test(
            test_module="testbench",
            hdl_toplevel=top,
            hdl_toplevel_lang="verilog",
            build_dir=folder,
            test_dir=run_dir,
            results_xml=str(results),
            test_filter=rf"^testbench\.({'|'.join(map(re.escape, tests))})$",
            seed=settings["seed"],
            plusargs=[f"+settings={run_dir / 'settings.json'}", *(f"+{p}" for p in plusargs)],
            waves=waves,
            log_file=log,
        )
    verdicts = _read_results(results)
    return [_record(name, run_dir, verdicts.get(name), log) for name in tests]


def _read_results(results: Path) -> dict[str, str | None]:
    """Return for every test that cocotb ran: None, or what it says about the failure."""
    try:
        cases = ElementTree.parse(results).getroot().iter("testcase")
    except (OSError, ElementTree.ParseError):
        return {}
    verdicts: dict[str, str | None] = {}
    for case in cases:
        problem = case.find("failure") if case.find("failure") is not None else case.find("error")
        skipped = case.find("skipped") is not None
        failure = (
            None
            if problem is None
            else (problem.get("error_msg") or problem.get("message") or problem.text or "failed")
        )
        verdicts[case.get("name", "").rpartition(".")[2]] = "was skipped" if skipped else failure
    return verdicts


def _record(name: str, run_dir: Path, failure: str | None, log: Path) -> dict[str, Any]:
    """The record of one test. It has passed only if its record, cocotb and the number of compared beats all say so."""
    try:
        record: dict[str, Any] = json.loads((run_dir / f"{name}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # a design that hangs has a record: this is the simulator, or the machine
        raise ToolError(f"the simulation broke off in the test {name}\n{log_tail(log)}") from error
    compared = [*record.get("beats_compared", []), *record.get("output_beats_compared", [])]
    if record["passed"] and failure is not None:
        record |= {"passed": False, "message": failure}
    elif record["passed"] and not (compared and all(compared)):
        record |= {"passed": False, "message": "nothing was compared at some boundary or output"}
    elif not record["passed"] and not record["message"]:
        record["message"] = f"{failure or 'the test broke off'}\n{log_tail(log)}"
    return record


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    options = _parser().parse_args(arguments)
    try:
        results = _bulk(options) if options.bulk else _tests(options)
        if options.results:
            options.results.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    except SimulationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 2
    _print_results(results)
    return 0 if results["passed"] else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Simulate the accelerator and compare every boundary with the expected values."
    )
    add = parser.add_argument
    add("--bundle", type=Path, default=SIM.parent, help="folder with manifest.json (default: the one around sim/)")
    add("--vectors", type=Path, help="vector folder for the tests (default: sim/vectors of the bundle)")
    add("--test", action="append", choices=TESTS, metavar="NAME", help=f"run only this test: {', '.join(TESTS)}")
    add(
        "--bulk",
        type=Path,
        metavar="DIR",
        help="stream this vector folder through the compiled harness instead of running the tests",
    )
    add("--jobs", type=int, default=2, help="processes of a bulk run (default 2)")
    add("--stalls", choices=PATTERNS, default="none", help="stall pattern of a bulk run (default none)")
    add("--frames", type=int, help="use only this many frames")
    add("--first-frame", type=int, default=0, help="start at this frame of the vector folder")
    add("--seed", type=int, default=1, help="seed of the stall patterns (default 1)")
    add("--waves", action="store_true", help="write a waveform of the tests")
    add("--build-dir", type=Path, help="where builds and logs go (default: sim/build of the bundle)")
    add("--results", type=Path, help="write the results as JSON to this file")
    add("--plusarg", action="append", default=[], metavar="NAME=VALUE", help="hand a plusarg to the design")
    return parser


def _tests(options: argparse.Namespace) -> dict[str, Any]:
    return run_tests(
        options.bundle,
        options.vectors,
        tests=options.test or (),
        seed=options.seed,
        frames=options.frames,
        first_frame=options.first_frame,
        waves=options.waves,
        build_dir=options.build_dir,
        plusargs=options.plusarg,
    )


def _bulk(options: argparse.Namespace) -> dict[str, Any]:
    if options.waves or options.test:
        raise BundleError(
            "--bulk must be used without --waves and --test; run the frame in question with --vectors instead"
        )
    if options.jobs < 1:
        raise BundleError(f"--jobs must be at least 1, not {options.jobs}")
    start = time.monotonic()

    def progress(done: int, total: int) -> None:
        left = (time.monotonic() - start) / done * (total - done) if done else 0
        eta = f", {left:.0f} s left" if done else ""
        print(
            f"\r{100 * done // total:3d} % of {total} frames{eta}   ",
            end="" if done < total else "\n",
            file=sys.stderr,
            flush=True,
        )

    return run_bulk(
        options.bundle,
        options.bulk,
        jobs=options.jobs,
        stalls=options.stalls,
        seed=options.seed,
        frames=options.frames,
        first_frame=options.first_frame,
        build_dir=options.build_dir,
        plusargs=options.plusarg,
        progress=progress if sys.stderr.isatty() else None,
    )


def _print_results(results: dict[str, Any]) -> None:
    for name in results["changed_files"]:
        print(f"note: {name} is not the file that was generated")
    for test in results["tests"]:
        beats = sum((*test.get("beats_compared", ()), *test.get("output_beats_compared", ())))
        verdict = "pass" if test["passed"] else "FAIL"
        speed = f", {test['cycles_per_second']} cycles/s" if "cycles_per_second" in test else ""
        print(f"{verdict}  {test['name']:20} {beats} beats in {test.get('cycles', 0)} cycles{speed}")
        if not test["passed"]:
            print("      " + test["message"].replace("\n", "\n      "))
    if results["waves"]:
        print(f"waves: {results['waves']}")


if __name__ == "__main__":
    sys.exit(main())
