"""Builds the packaged IP around a generated accelerator, and runs the tests of `ip_testbench.py` on it."""

from __future__ import annotations

import logging
import os
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dnn2fpga.build.tops.ip_top import TOP, ip_verilog
from dnn2fpga.build.tops.stream_port import StreamPorts
from dnn2fpga.drive.port import Port
from dnn2fpga.generate.bundle import write_bundle
from dnn2fpga.generate.manifest import Manifest
from dnn2fpga.graph.ports import by_name
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.plan.hardware_plan import plan
from dnn2fpga.plan.settings import PlanSettings

HERE = Path(__file__).parent
SIM = HERE.parents[1] / "sim"
sys.path.insert(0, str(SIM))


@dataclass(frozen=True)
class Design:
    """A bundle's folder, its manifest, and frames of integers ``[frames, *shape]`` by the name of their port."""

    bundle: Path
    manifest: Manifest
    numbers: Mapping[str, np.ndarray]


def generated(graph: QuantizedGraph, settings: PlanSettings, frames: int, folder: Path) -> Design:
    """The design of a graph, with random frames."""
    hardware = plan(graph, settings)
    manifest = write_bundle(graph, hardware, folder / "bundle")
    q = graph.random_inputs(frames, seed=5)
    return Design(folder / "bundle", manifest, q | by_name(graph.run(q), graph.outputs))


def simulate(design: Design, folder: Path, tests: Iterable[str]) -> dict[str, str | None]:
    """Results by the names of tests and their parameters: None, or what it says about its failure."""
    from cocotb_tools.runner import get_runner
    from toolchain import find_toolchain

    top = folder / f"{TOP}.v"
    top.write_text(ip_verilog(StreamPorts.of(design.manifest)), encoding="utf-8")
    _write_frames(design, folder / "setting.npz")
    runner = get_runner("verilator")
    logging.getLogger("Verilator").setLevel(logging.CRITICAL)
    results = folder / "results.xml"
    with find_toolchain().environment():
        # A few thousand cycles: the compiler needs much longer than the simulation, most of it for what all share.
        shared = f"{sys.executable} -I -S {SIM / 'compile_once.py'} {folder.parent / 'verilator_runtime'}"
        flags = ["OPT_FAST=-O0 OPT_SLOW=-O0 OPT_GLOBAL=-O0 VM_PARALLEL_BUILDS=0"]
        flags += ["OBJCACHE=" + shared.replace(" ", r"\ ")]
        os.environ["MAKEFLAGS"] = " ".join([os.environ.get("MAKEFLAGS", ""), *flags])
        runner.build(
            sources=[top, design.bundle / "rtl" / "accelerator.v"],
            hdl_toplevel=TOP,
            build_args=["-Wno-fatal", "-Wno-lint"],
            build_dir=folder / "build",
            timescale=("1ns", "1ps"),
            log_file=folder / "build.log",
        )
        with suppress(RuntimeError, SystemExit):  # the results say which tests have failed
            runner.test(
                test_module="ip_testbench",
                hdl_toplevel=TOP,
                hdl_toplevel_lang="verilog",
                build_dir=folder / "build",
                test_dir=folder,
                results_xml=str(results),
                extra_env={"PYTHONPATH": f"{HERE}:{HERE.parents[1]}"},
                seed=1,
                test_filter=rf"^ip_testbench\.({'|'.join(tests)})(/|$)",
                plusargs=[f"+setting={folder / 'setting.npz'}"],
                log_file=folder / "log.txt",
            )
    return _verdicts(results)


def _write_frames(design: Design, file: Path) -> None:
    manifest = design.manifest
    packed = {
        port.axis: Port.of(port.model_dump()).pack(design.numbers[port.name])
        for port in (*manifest.inputs, *manifest.outputs)
    }
    cycles = {"latency": manifest.latency_cycles, "interval": manifest.interval_cycles}
    np.savez(file, **packed, steady=manifest.steady_frames, **cycles)


def _verdicts(results: Path) -> dict[str, str | None]:
    verdicts = {}
    for case in ElementTree.parse(results).getroot().iter("testcase"):
        problems = [*case.iter("failure"), *case.iter("error"), *case.iter("skipped")]
        text = [problem.get("error_msg") or problem.text or problem.tag for problem in problems]
        verdicts[case.get("name", "")] = text[0] if text else None
    return verdicts
