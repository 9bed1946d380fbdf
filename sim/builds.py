"""Compiles the design with Verilator: for cocotb, for the bulk harness, and for the one that counts toggles.

A build is kept until something that goes into it changes, or its program is no longer what was built.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

from bundle import Manifest
from errors import BundleError, ToolError
from toolchain import Toolchain

SIM = Path(__file__).resolve().parent
COMPLETE = "complete"  # in the folder of a build that was finished: digests of its programs

# Verilator removes and merges signals unless it is told that somebody looks at them. Looking at everything would cost
# much speed, so only the boundaries are kept, and for cocotb the ports.
BOUNDARIES_VLT = """`verilator_config
public_flat_rd -module "*network" -var "boundary_*"
"""
PORTS_VLT = """public_flat_rw -module "accelerator" -var "?_axis_*"
public_flat_rw -module "accelerator" -var "aclk"
public_flat_rw -module "accelerator" -var "aresetn"
"""

# Verilator writes functions of thousands of statements without a branch, and some steps of a C++ compiler take time
# with the square of that. Shorter functions, and a narrower search for instructions to combine (at most 2 instead
# of 4), make the compilation five times as fast and the simulation no slower.
SHORT_FUNCTIONS = ("--output-split-cfuncs", "200")
COMMON_OPTIONS = ("--quiet-stats", "-Wno-fatal", "-Wno-lint", *SHORT_FUNCTIONS, "-CFLAGS", "-std=gnu++17")
OPTIMIZATION = r"OPT_FAST=-O1\ --param=max-combine-insns=2 OPT_SLOW=-O0 OPT_GLOBAL=-O0"
SILENT = "--silent --no-print-directory"  # what make prints is then what has failed
# One file that includes all others needs no precompiled header. A large design is compiled in parts, on all cores.
ONE_FILE = "VM_PARALLEL_BUILDS=0"
LARGE_VERILOG = 2_000_000  # bytes

# `fast` leaves the start values of registers to the compiler: the reset must set whatever matters.
BULK_OPTIONS = (
    "-O3",
    "--x-assign",
    "fast",
    "--x-initial",
    "fast",
    "--no-assert",
    "--noassert-case",
    *COMMON_OPTIONS,
)


@contextmanager
def exclusive(build_dir: Path) -> Iterator[None]:
    """Make the folder and lock it; the kernel frees the lock when the process ends, however it ends."""
    try:
        build_dir.mkdir(parents=True, exist_ok=True)
        lock = (build_dir / ".lock").open("w")
    except OSError as error:
        raise BundleError(
            f"{build_dir}: cannot be written ({error.strerror}); choose another with --build-dir"
        ) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def build_cocotb(manifest: Manifest, toolchain: Toolchain, build_dir: Path, *, waves: bool) -> Path:
    """Build the simulation that runs `testbench.py`, if it is not there already; returns its folder."""
    try:
        from cocotb_tools.runner import get_runner
    except ImportError as error:
        raise ToolError(f"cocotb 2.1 must be installed for {sys.executable}: pip install 'cocotb>=2.1,<3'") from error

    def build(folder: Path, log: Path) -> None:
        runner = get_runner("verilator")
        runner.build(
            sources=[manifest.rtl, _control_file(folder, BOUNDARIES_VLT + PORTS_VLT)],
            hdl_toplevel=manifest.top,
            # the runner asks for --public-flat-rw, the last option wins
            build_args=["--no-public-flat-rw", *toolchain.options, *COMMON_OPTIONS],
            build_dir=folder,
            timescale=("1ns", "1ps"),
            waves=waves,
            log_file=log,
        )

    kind = "cocotb-waves" if waves else "cocotb"
    parts = [kind, BOUNDARIES_VLT, PORTS_VLT, *COMMON_OPTIONS, metadata.version("cocotb"), sys.executable]
    return cached(kind, parts, manifest, toolchain, build_dir, build)


def build_bulk(manifest: Manifest, toolchain: Toolchain, build_dir: Path) -> Path:
    """Build the bulk harness, if it is not there already; returns the executable."""

    def sources(folder: Path) -> list[Path]:
        return [_control_file(folder, BOUNDARIES_VLT), manifest.rtl]

    return _build_harness("bulk", [BOUNDARIES_VLT], sources, manifest, toolchain, build_dir)


def build_activity(manifest: Manifest, toolchain: Toolchain, build_dir: Path, verilog: str) -> Path:
    """Build the harness that counts toggles around `verilog`, the design with its registers made public."""

    def sources(folder: Path) -> list[Path]:
        (folder / "public.v").write_text(verilog, encoding="utf-8")
        return [folder / "public.v"]

    return _build_harness("activity", [verilog], sources, manifest, toolchain, build_dir)


def _build_harness(
    kind: str,
    parts: list[str],
    sources: Callable[[Path], list[Path]],
    manifest: Manifest,
    toolchain: Toolchain,
    build_dir: Path,
) -> Path:
    """The executable of `<kind>.cpp` and what `sources` puts into the folder of the build."""
    harness, ports = SIM / f"{kind}.cpp", _port_names(manifest)

    def build(folder: Path, log: Path) -> None:
        (folder / "port_names.h").write_text(ports, encoding="utf-8")
        verilate: list[str | Path] = [toolchain.verilator, "--cc", "--exe", *toolchain.options, *BULK_OPTIONS]
        verilate += ["--prefix", "Vtop", "--top-module", manifest.top]
        verilate += ["-Mdir", folder, "-o", kind, *sources(folder), harness]
        make: list[str | Path] = ["make", f"-j{os.cpu_count() or 1}", "-C", folder, "-f", "Vtop.mk"]
        with log.open("w", encoding="utf-8") as output:
            for command in (verilate, make):
                subprocess.run(command, check=True, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)

    headers = [header.read_text(encoding="utf-8") for header in sorted(SIM.glob("*.h"))]
    parts = [kind, *parts, *BULK_OPTIONS, harness.read_text(encoding="utf-8"), *headers, ports]
    return cached(kind, parts, manifest, toolchain, build_dir, build) / kind


def _port_names(manifest: Manifest) -> str:
    """The header by which a harness knows the ports of the design (`axi_ports.h`)."""
    inputs, outputs = (" ".join(f"PORT({p.axis})" for p in ports) for ports in (manifest.inputs, manifest.outputs))
    return f"#define INPUT_PORTS(PORT) {inputs}\n#define OUTPUT_PORTS(PORT) {outputs}\n"


def _control_file(folder: Path, text: str) -> Path:
    path = folder / "public.vlt"
    path.write_text(text, encoding="utf-8")
    return path


def cached(
    kind: str,
    parts: list[str],
    manifest: Manifest,
    toolchain: Toolchain,
    build_dir: Path,
    build: Callable[[Path, Path], None],
) -> Path:
    """The folder of a complete build with these ingredients, made now if need be."""
    if not manifest.rtl.is_file():
        raise BundleError(f"{manifest.rtl}: is missing")
    digest = hashlib.sha256(manifest.rtl.read_bytes())
    makeflags = f"{SILENT} {toolchain.makeflags} {OPTIMIZATION}"
    if manifest.rtl.stat().st_size < LARGE_VERILOG:
        makeflags += f" {ONE_FILE}"
    for part in (*parts, *toolchain.options, makeflags, manifest.top, toolchain.version, str(toolchain.verilator)):
        digest.update(b"\0" + part.encode())
    folder = build_dir / f"{kind}-{digest.hexdigest()[:12]}"
    if _is_complete(folder):
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    log = build_dir / f"{folder.name}.log"
    # these go through the environment because cocotb calls make, too; Toolchain.environment puts it back
    os.environ["MAKEFLAGS"] = f"{makeflags} {_compile_once(build_dir, makeflags + toolchain.version)}"
    try:
        with _without_spaces(folder) as place:
            build(place, log)
    except (RuntimeError, SystemExit, subprocess.CalledProcessError, OSError) as error:
        raise ToolError(f"Verilator could not build {manifest.rtl}:\n{log_tail(log)}") from error
    programs = _programs(folder)
    if not programs:  # a compiler that ends as if all were well
        raise ToolError(f"Verilator could not build {manifest.rtl}: no program has come of it\n{log_tail(log)}")
    (folder / COMPLETE).write_text(programs, encoding="utf-8")
    return folder


@contextmanager
def _without_spaces(folder: Path) -> Iterator[Path]:
    """Yield the folder in which to build what belongs into `folder`: make refuses a path with a space in it."""
    if not re.search(r"\s", str(folder.absolute())):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="dnn2fpga-") as elsewhere:
        yield Path(elsewhere)
        shutil.copytree(elsewhere, folder, dirs_exist_ok=True)


def _is_complete(folder: Path) -> bool:
    """Was the build finished, and are its programs still those that were built?"""
    try:
        return bool(programs := _programs(folder)) and (folder / COMPLETE).read_text(encoding="utf-8") == programs
    except (OSError, UnicodeDecodeError):
        return False


def _programs(folder: Path) -> str:
    """Digest and name of every program in a folder, one per line."""
    programs = (file for file in sorted(folder.glob("*")) if file.is_file() and os.access(file, os.X_OK))
    return "".join(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in programs)


def _compile_once(build_dir: Path, ingredients: str) -> str:
    """The variable for make that lets builds share the objects of Verilator's runtime."""
    store = build_dir / f"runtime-{hashlib.sha256(ingredients.encode()).hexdigest()[:12]}"
    command = shlex.join([sys.executable, "-I", "-S", str(SIM / "compile_once.py"), str(store)])
    return "OBJCACHE=" + re.sub(r"([\\\s])", r"\\\1", command.replace("$", "$$"))


def log_tail(log: Path, lines: int = 15) -> str:
    """The last lines of a tool's log, with the errors before them if there are any, and where the whole of it is."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return f"(there is no log {log})"
    errors = [line for line in text[:-lines] if line.startswith("%Error")][:5]
    return "\n".join([*errors, *text[-lines:], f"(full log: {log})"])
