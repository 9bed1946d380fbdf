"""The accidents, by kind."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from .accidents import Accident, Prepare
from .program import Program, Surrounding
from .trial import Outcome

QUANTIZE = "quantize model.keras --data train.npz -o out"
SOMEBODY = Surrounding(plain_user=True)
DISK = "mount -t tmpfs -o size={size} none {folder} && cp -r {saved}/. {folder}/ && exec \"$0\" \"$@\""


def several(*steps: Prepare) -> Prepare:
    return lambda folder: [step(folder) for step in steps]


def text(name: str, content: str = "hello\n", encoding: str = "utf-8") -> Prepare:
    return lambda folder: (folder / name).write_bytes(content.encode(encoding))


def folder_at(name: str) -> Prepare:
    return lambda folder: (folder / name).mkdir(parents=True)


def removed(name: str) -> Prepare:
    return lambda folder: shutil.rmtree(folder / name) if (folder / name).is_dir() else (folder / name).unlink()


def mode(name: str, bits: int) -> Prepare:
    return lambda folder: (folder / name).chmod(bits)


def arrays(name: str, **given: np.ndarray) -> Prepare:
    return lambda folder: np.savez(folder / name, **given)  # type: ignore[arg-type]


def links(name: str, target: str) -> Prepare:
    return lambda folder: (folder / name).symlink_to(target)


def pipe(name: str) -> Prepare:
    return lambda folder: os.mkfifo(folder / name)


def socket_at(name: str) -> Prepare:
    def made(folder: Path) -> None:
        with socket.socket(socket.AF_UNIX) as one:
            here = os.getcwd()
            os.chdir(folder)
            try:
                one.bind(name)
            finally:
                os.chdir(here)

    return made


def tool(name: str, script: str) -> Prepare:
    """A program of this name, first on the path."""

    def made(folder: Path) -> None:
        (folder / "tools").mkdir(exist_ok=True)
        (folder / "tools" / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / "tools" / name).chmod(0o755)

    return made


def small_disk(folder: str, size: str, saved: str) -> Surrounding:
    """A file system of ``size`` at ``folder``, with a copy of what is in ``saved``."""
    script = DISK.format(size=size, folder=folder, saved=saved)
    return Surrounding(wrapper=("unshare", "-rm", "sh", "-c", script))


def signalled(number: int, arguments: tuple[str | bytes, ...], folder: Path, around: Surrounding) -> Outcome:
    """The signal comes while results are made: as soon as something is written."""
    program = Program(arguments, folder, around)
    start = time.monotonic()
    while program.process.poll() is None and time.monotonic() - start < 60:
        if any((folder / "work").glob("**/.dnn2fpga-*")):
            break
        time.sleep(0.002)
    program.kill(number)
    return program.outcome()


def second_of_two(arguments: tuple[str | bytes, ...], folder: Path, around: Surrounding) -> Outcome:
    """Two commands in one folder: what becomes of the second while the first is at work."""
    first = Program(("verify", "generated", "--test", "test.npz"), folder)
    start = time.monotonic()
    while not (folder / "work/generated/.dnn2fpga.lock").exists() and time.monotonic() - start < 60:
        time.sleep(0.002)
    time.sleep(0.5)
    (folder / "second").mkdir()
    (folder / "second" / "work").symlink_to(folder / "work")
    outcome = Program(arguments, folder / "second", around).outcome()
    first.kill()
    first.outcome()
    return outcome


def _data(kind: str, name: str, prepare: Prepare, says: str = "", code: int = 2) -> Accident:
    return Accident(
        kind=kind, name=name, command="quantize model.keras --data bad.npz -o out", prepare=prepare, says=says, code=code
    )


def _accidents() -> Iterator[Accident]:
    yield from _places()
    yield from _order()
    yield from _arguments()
    yield from _numbers()
    yield from _streams()
    yield from _machine()
    yield from _tools()


def _places() -> Iterator[Accident]:
    one = partial(Accident, kind="files and folders")
    yield one(name="no such model", command="quantize none.keras --data train.npz -o out", says="none.keras")
    yield one(name="no such data", command="quantize model.keras --data none.npz -o out", says="none.npz")
    yield one(name="no such test data", command=f"{QUANTIZE} --test none.npz", says="none.npz")
    yield one(name="no such settings", command=f"{QUANTIZE} -c none.yaml", says="none.yaml")
    yield one(name="no such work folder", command="generate none", says="none")
    yield one(name="a folder for a model", command="quantize quantized --data train.npz -o out", says="quantized")
    yield one(name="an empty folder for data", command="quantize model.keras --data empty -o out", prepare=folder_at("empty"))
    yield one(name="a folder for settings", command=f"{QUANTIZE} -c quantized", says="quantized")
    yield one(name="a file for a work folder", command="generate model.keras", says="model.keras")
    yield one(name="a file for the output", command="quantize model.keras --data train.npz -o test.npz", says="test.npz")
    yield one(name="output below a file", command="quantize model.keras --data train.npz -o test.npz/out")
    yield one(name="output where nothing can be", command="quantize model.keras --data train.npz -o /proc/out", says="/proc")
    yield one(name="a model that may not be read", command=QUANTIZE, prepare=mode("model.keras", 0), around=SOMEBODY, says="model.keras")
    yield one(name="data that may not be read", command=QUANTIZE, prepare=mode("train.npz", 0), around=SOMEBODY, says="train.npz")
    yield one(name="settings that may not be read", command=QUANTIZE, prepare=several(text("dnn2fpga.yaml"), mode("dnn2fpga.yaml", 0)), around=SOMEBODY, says="dnn2fpga.yaml")
    yield one(name="a folder that may not be written", command=QUANTIZE, prepare=mode(".", 0o555), around=SOMEBODY, says="out")
    yield one(name="a work folder that may not be written", command="generate quantized", prepare=mode("quantized", 0o555), around=SOMEBODY, says="quantized")
    yield one(name="a work folder that may not be entered", command="generate quantized", prepare=mode("quantized", 0o000), around=SOMEBODY, says="quantized")
    yield one(name="a bundle that may not be replaced", command="verify generated", prepare=mode("generated", 0o555), around=SOMEBODY, says="generated")
    yield one(name="a file in the place of the bundle", command="generate quantized", prepare=text("quantized/bundle"), says="bundle")
    yield one(name="a link to nowhere for a model", command="quantize link.keras --data train.npz -o out", prepare=links("link.keras", "nowhere"), says="link.keras")
    yield one(name="a link to itself for a model", command="quantize link.keras --data train.npz -o out", prepare=links("link.keras", "link.keras"), says="link.keras")
    yield one(name="a link to itself for the output", command="quantize model.keras --data train.npz -o link", prepare=links("link", "link"), says="link")
    yield one(name="a pipe for a model", command="quantize pipe.keras --data train.npz -o out", prepare=pipe("pipe.keras"), says="pipe.keras")
    yield one(name="a pipe for data", command="quantize model.keras --data pipe.npz -o out", prepare=pipe("pipe.npz"), says="pipe.npz")
    yield one(name="a pipe for settings", command=f"{QUANTIZE} -c pipe.yaml", prepare=pipe("pipe.yaml"), says="pipe.yaml")
    yield one(name="a pipe for weights", command="generate quantized", prepare=several(removed("quantized/weights.npz"), pipe("quantized/weights.npz")), says="weights.npz")
    yield one(name="a pipe for model.yaml", command="generate quantized", prepare=several(removed("quantized/model.yaml"), pipe("quantized/model.yaml")), says="model.yaml")
    yield one(name="a device for a model", command="quantize /dev/zero --data train.npz -o out", says="/dev/zero")
    yield one(name="a device for data", command="quantize model.keras --data /dev/zero -o out", says="/dev/zero")
    yield one(name="a socket for a model", command="quantize s.keras --data train.npz -o out", prepare=socket_at("s.keras"), says="s.keras")
    yield one(name="a name that is too long", command=f"quantize {'x' * 300}.keras --data train.npz -o out")
    yield one(name="a path that is too long", command=f"quantize model.keras --data train.npz -o {'x/' * 3000}out")
    yield one(name="an output name that is too long", command=f"quantize model.keras --data train.npz -o {'x' * 300}")
    yield one(name="empty names", command=("quantize", "", "--data", "", "-o", "out"))
    yield one(name="a name that is no text", command=("quantize", b"\xff\xfe.keras", "--data", "train.npz"), says=".keras")
    yield one(name="a name with a line in it", command=("quantize", "a\nb.keras", "--data", "train.npz"))
    yield one(name="settings that are no text", command=QUANTIZE, prepare=text("dnn2fpga.yaml", "é", "utf-16"), says="dnn2fpga.yaml")
    yield one(name="a work folder with a space and é", command=("generate", "mein é 层"), prepare=lambda f: shutil.copytree(f / "quantized", f / "mein é 层"), code=0)


def _order() -> Iterator[Accident]:
    one = partial(Accident, kind="order of the steps")
    for command in ("verify quantized", "build quantized --board icebreaker", "power quantized --board icebreaker",
                    "synthesize quantized", "run quantized test.npz --board icebreaker --port simulation"):  # fmt: skip
        yield one(name=f"{command.split()[0]} before generate", command=command, says="generate")
    yield one(name="generate without weights", command="generate quantized", prepare=removed("quantized/weights.npz"), says="weights.npz")
    yield one(name="generate without model.yaml", command="generate quantized", prepare=removed("quantized/model.yaml"), says="model.yaml")
    yield one(name="a damaged manifest", command="build generated --board icebreaker --no-run", prepare=text("generated/bundle/manifest.json", "{"), says="manifest.json")
    yield one(name="a bundle without sim", command="verify generated", prepare=removed("generated/bundle/sim"), says="generate")
    yield one(name="a search without test data", command="search model.keras --data train.npz -o out", says="--test")
    yield one(name="a target without test data", command=f"{QUANTIZE} --max-drop 1", says="test")
    yield Accident(kind="two commands in one folder", name="generate while verify is at work", command="generate generated", run=second_of_two, says="at work")
    yield Accident(kind="two commands in one folder", name="verify while verify is at work", command="verify generated", run=second_of_two, says="at work")
    yield Accident(kind="two commands in one folder", name="quantize while verify is at work", command="quantize model.keras --data train.npz -o generated", run=second_of_two, says="at work")


def _arguments() -> Iterator[Accident]:
    one = partial(Accident, kind="arguments")
    for name, more, says in (
        ("no bits", "--bits 0", "bits"), ("too many bits", "--bits 99", "bits"), ("bits that are no number", "--bits x", ""),
        ("an unknown weight set", "--weight-set octal", "weight_set"), ("an unknown stage", "--stages magic", "stages"),
        ("an unknown setting", "--set quantization.wieght_bits=3", "weight_bits"), ("a setting without a value", "--set x", "KEY=VALUE"),
        ("a setting that is no YAML", "--set model=[", "model"), ("a setting with an alias", "--set model=*x", "model"),
        ("a target beyond reason", "--max-drop nan", ""), ("an unknown option", "--fast", ""),
    ):  # fmt: skip
        yield one(name=name, command=f"{QUANTIZE} {more}", says=says)
    yield one(name="no model", command="quantize --data train.npz", says="model")
    yield one(name="no data", command="quantize model.keras", says="--data")
    yield one(name="an unknown command", command="synthesise generated")
    yield one(name="no folder", command="generate")
    yield one(name="an unknown board", command="build generated --board nonesuch", says="nonesuch")
    yield one(name="a board that is a path", command="build generated --board ../boards/icebreaker", says="boards")
    yield one(name="no board", command="build generated", says="--board")
    for clock in ("0", "-5", "nan", "inf", "1e9"):
        yield one(name=f"a clock of {clock} MHz", command=f"build generated --board icebreaker --no-run --clock {clock}", says="clock")
    yield one(name="an unknown board for power", command="power generated --board nonesuch", says="nonesuch")
    yield one(name="an unknown goal", command="generate quantized --goal cheap", says="goal")
    yield one(name="an interval of 0", command="generate quantized --interval 0", says="interval")
    yield one(name="a FIFO of 1e22", command="generate quantized --set hardware.fifo=1e22", says="fifo")
    yield one(name="a FIFO of 10^15", command="generate quantized --set hardware.fifo=1000000000000000", says="fifo")
    yield one(name="no frames to verify", command="verify generated --test test.npz --frames 0", says="frames")
    yield one(name="an unknown stall pattern", command="verify generated --stalls sometimes", says="stalls")
    yield one(name="a compilation for an unknown board", command="compile model.keras --data train.npz -o out --board nonesuch", says="nonesuch")
    port = "run generated test.npz --board icebreaker --port"
    yield one(name="a port that does not exist", command=f"{port} /dev/ttyNONE", says="/dev/ttyNONE")
    yield one(name="a port that is a file", command=f"{port} model.keras", says="model.keras")
    yield one(name="a port that is a folder", command=f"{port} quantized", says="quantized")
    yield one(name="a port that is the null device", command=f"{port} /dev/null", says="/dev/null")


def _numbers() -> Iterator[Accident]:
    x, y = np.zeros((4, 12), np.float32), np.zeros(4, np.int64)
    nan = np.full((4, 12), np.nan, np.float32)
    kind = "data"
    for name, given, says in (
        ("another shape", {"x": np.zeros((4, 13)), "y": y}, "shape"), ("transposed", {"x": x.T}, "shape"),
        ("one dimension less", {"x": np.zeros(12)}, "shape"), ("a single number", {"x": np.float32(1)}, "number"),
        ("NaN", {"x": nan}, "NaN"), ("infinite", {"x": x + np.inf}, "infinite"), ("no samples", {"x": x[:0]}, "sample"),
        ("fewer labels", {"x": x, "y": y[:3]}, "labels"), ("labels that are texts", {"x": x, "y": y.astype("U2")}, "labels"),
        ("complex inputs", {"x": x + 1j}, "numbers"), ("dates", {"x": x.astype("M8[s]")}, "numbers"),
        ("objects", {"x": np.full((4, 12), None)}, "objects"), ("another name", {"inputs": x}, "--x"), ("nothing in it", {}, ""),
        ("labels that are NaN", {"x": x, "y": y + np.nan}, ""),
    ):  # fmt: skip
        yield _data(kind, name, arrays("bad.npz", **given), says)
    yield _data(kind, "one sample", arrays("bad.npz", x=x[:1]), code=0)
    yield Accident(kind=kind, name="NaN to verify with", command="verify generated --test bad.npz", prepare=arrays("bad.npz", x=nan), says="NaN")
    yield Accident(kind=kind, name="another shape to verify with", command="verify generated --test bad.npz", prepare=arrays("bad.npz", x=x.T), says="shape")
    yield Accident(kind=kind, name="nothing to verify with", command="verify generated --test bad.npz", prepare=arrays("bad.npz", x=x[:0]), says="sample")


def _streams() -> Iterator[Accident]:
    one = partial(Accident, kind="input and output of the process")
    yield one(name="nobody reads", command="generate quantized", around=Surrounding(wrapper=("sh", "-c", '"$0" "$@" | true; sleep 0')), code=(0, 141))
    yield one(name="stdout closed", command="generate quantized", around=Surrounding(streams={1: None}), code=0)
    yield one(name="stdout full", command="generate quantized", around=Surrounding(streams={1: "/dev/full"}), code=(0, 2), silent=True)
    yield one(name="stderr closed", command="generate none", around=Surrounding(streams={2: None}), silent=True)
    yield one(name="stderr full", command="generate none", around=Surrounding(streams={2: "/dev/full"}), silent=True)
    yield one(name="everything closed", command="generate quantized", around=Surrounding(streams={0: None, 1: None, 2: None}), code=0)
    ascii_only: dict[str, str | None] = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    yield one(name="an output of ASCII", command="generate quantized", around=Surrounding(environment=ascii_only), code=0)
    yield one(name="an output of ASCII, a name that is not", command=("generate", "層"), around=Surrounding(environment=ascii_only))
    latin: dict[str, str | None] = {"PYTHONIOENCODING": "latin-1"}
    yield one(name="an output of Latin-1", command="generate quantized", around=Surrounding(environment=latin), code=0)
    yield one(name="a terminal of one column", command="generate quantized", around=Surrounding(environment={"COLUMNS": "1"}), code=0)


def _machine() -> Iterator[Accident]:
    one = partial(Accident, kind="the machine")
    saved = lambda name: lambda folder: shutil.copytree(folder / name, folder / "saved")  # noqa: E731
    for size in ("16k", "64k"):
        yield one(name=f"a disk of {size} for quantize", command="quantize model.keras --data train.npz -o disk/out", prepare=several(folder_at("disk"), folder_at("saved")), around=small_disk("disk", size, "saved"), code=(0, 2))
    for size in ("40k", "100k", "200k", "300k"):
        yield one(name=f"a disk of {size} for generate", command="generate quantized", prepare=saved("quantized"), around=small_disk("quantized", size, "saved"), code=(0, 2))
    yield one(name="a full disk for a new bundle", command="generate generated", prepare=saved("generated"), around=small_disk("generated", "600k", "saved"), code=(0, 2))
    yield one(name="a full disk for verify", command="verify generated", prepare=saved("generated"), around=small_disk("generated", "500k", "saved"))
    yield one(name="a full disk for build", command="build generated --board icebreaker --no-run", prepare=saved("generated"), around=small_disk("generated", "480k", "saved"), code=(0, 2))
    for command in (QUANTIZE, "generate quantized", "build generated --board icebreaker --no-run"):
        yield one(name=f"files of at most 2,000 bytes: {command.split()[0]}", command=command, around=Surrounding(limits={resource.RLIMIT_FSIZE: 2_000}))
    yield one(name="files of at most 2,000 bytes: verify", command="verify generated", around=Surrounding(limits={resource.RLIMIT_FSIZE: 2_000}))
    yield one(name="little memory", command="generate quantized", around=Surrounding(limits={resource.RLIMIT_AS: 450 << 20}), code=(0, 2))
    yield one(name="few open files", command="generate quantized", around=Surrounding(limits={resource.RLIMIT_NOFILE: 8}))
    for name, environment in (("TMPDIR missing", {"TMPDIR": "/nowhere"}), ("HOME missing", {"HOME": "/nowhere"}), ("HOME not set", {"HOME": None}), ("nothing set", {"HOME": None, "TMPDIR": None, "LANG": None})):
        for command in ("generate quantized", QUANTIZE):
            yield one(name=f"{name}: {command.split()[0]}", command=command, around=Surrounding(environment=environment), code=0)
    yield one(name="TMPDIR missing: verify", command="verify generated", around=Surrounding(environment={"TMPDIR": "/nowhere"}), code=(0, 2))
    yield one(name="HOME that may not be written", command="generate quantized", around=Surrounding(plain_user=True, environment={"HOME": "/proc"}), code=0)
    yield one(name="the folder is gone", command="generate quantized", around=Surrounding(wrapper=("sh", "-c", 'mkdir gone && cd gone && rmdir ../gone && exec "$0" "$@"')))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        for command in ("generate quantized", "generate generated", "verify generated"):
            yield Accident(kind="signals", name=f"{number.name} to {command}", command=command, run=partial(signalled, number), code=128 + number, silent=True)


def _tools() -> Iterator[Accident]:
    one = partial(Accident, kind="tools")
    first = f"tools:{os.environ.get('PATH', '')}"
    empty = Surrounding(environment={"PATH": "/nowhere"})
    yield one(name="no compiler", command="verify generated", around=empty)
    yield one(name="no tools for a project", command="build generated --board icebreaker --no-run", around=empty, code=0)
    for name, script in (("fails", "echo no >&2; exit 1"), ("crashes", "kill -SEGV $$"), ("says nothing", "exit 0")):
        for program in ("g++", "make"):
            yield one(name=f"{program} {name}", command="verify generated", prepare=tool(program, script), around=Surrounding(environment={"PATH": first}))
    for name, script in (("fails", "echo no >&2; exit 1"), ("says nothing", "exit 0")):
        for program in ("yosys", "nextpnr-ice40", "icepack"):
            yield one(name=f"{program} {name}", command="build generated --board icebreaker", prepare=several(*(tool(p, script if p == program else "exit 0") for p in ("yosys", "nextpnr-ice40", "icepack"))), around=Surrounding(environment={"PATH": first}))
    yield one(name="yosys that fails at synthesize", command="synthesize generated", prepare=tool("yosys", "exit 1"), around=Surrounding(environment={"PATH": first}), code=(0, 2))


ACCIDENTS: tuple[Accident, ...] = tuple(_accidents())
