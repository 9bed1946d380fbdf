"""Accidents of the machine: disks, memory, streams, signals, tools."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from functools import partial

from .accident_parts import (
    QUANTIZE,
    copied,
    folder_at,
    limit,
    own_tools,
    several,
    signalled,
    small_disk,
    tool,
    variables,
)
from .accidents import Accident
from .program import Surrounding

GENERATE, VERIFY = "generate quantized", "verify generated"
SOURCES = "build generated --board icebreaker --no-run"
NO_CACHE: dict[str, str | None] = {"XDG_CACHE_HOME": None}
IN_A_FOLDER_THAT_IS_GONE = 'mkdir gone && cd gone && rmdir ../gone && exec "$0" "$@"'

# The accidents: what happens, to which command, in which surrounding, and the exit codes it may have.
STREAMS: list[tuple[str, str | tuple[str, ...], Surrounding, tuple[int, ...]]] = [
    ("nobody reads", GENERATE, Surrounding(wrapper=("bash", "-c", 'set -o pipefail; "$0" "$@" | true')), (0, 141)),
    ("stdout closed", GENERATE, Surrounding(streams={1: None}), (0,)),
    ("stdout full", GENERATE, Surrounding(streams={1: "/dev/full"}), (0, 2)),
    ("stderr closed", "generate none", Surrounding(streams={2: None}), (2,)),
    ("stderr full", "generate none", Surrounding(streams={2: "/dev/full"}), (2,)),
    ("everything closed", GENERATE, Surrounding(streams={0: None, 1: None, 2: None}), (0,)),
    ("an output of ASCII", GENERATE, variables(LC_ALL="C", PYTHONIOENCODING="ascii", PYTHONUTF8="0"), (0,)),
    ("an output of Latin-1", GENERATE, variables(PYTHONIOENCODING="latin-1"), (0,)),
    ("an output of ASCII for a name", ("generate", "层"), variables(LC_ALL="C", PYTHONIOENCODING="ascii"), (2,)),
    ("a terminal of one column", GENERATE, variables(COLUMNS="1"), (0,)),
    ("a terminal without a size", GENERATE, variables(COLUMNS="x", LINES="0", TERM="dumb"), (0,)),
]
PLACES: list[tuple[str, Surrounding]] = [
    ("TMPDIR missing", variables(TMPDIR="/nowhere")),
    ("HOME missing", variables(HOME="/nowhere", **NO_CACHE)),
    ("HOME not set", variables(HOME=None, **NO_CACHE)),
    ("nothing set", variables(HOME=None, TMPDIR=None, LANG=None, **NO_CACHE)),
    ("HOME that may not be written", Surrounding(plain_user=True, environment={"HOME": "/proc", **NO_CACHE})),
]
BROKEN = {"fails": "echo no >&2; exit 1", "crashes": "kill -SEGV $$", "says nothing": "exit 0"}
OPEN_TOOLS = ("yosys", "nextpnr-ice40", "icepack")


def accidents_of_machines() -> Iterator[Accident]:
    for name, command, around, codes in STREAMS:
        kind = "streams of the process"
        yield Accident(kind=kind, name=name, command=command, around=around, code=codes, silent="std" in name)
    yield from _disks()
    yield from _limits()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        for command in (GENERATE, "generate generated", VERIFY):
            run = partial(signalled, number)
            name = f"{number.name} to {command}"
            yield Accident(kind="signals", name=name, command=command, run=run, code=128 + number, silent=True)
    yield from _tools()


def _disks() -> Iterator[Accident]:
    one = partial(Accident, kind="disks", code=(0, 2))
    for size in ("16k", "64k"):
        name, command = f"a disk of {size} for quantize", QUANTIZE.replace("out", "disk/out")
        prepare = several(folder_at("disk"), folder_at("saved"))
        yield one(name=name, command=command, prepare=prepare, around=small_disk("disk", size, "saved"))
    for folder, command, sizes in (
        ("quantized", GENERATE, ("40k", "100k", "200k", "300k", "400k")),
        ("generated", "generate generated", ("600k", "700k")),
        ("generated", VERIFY, ("600k",)),
        ("generated", SOURCES, ("560k", "600k")),
    ):
        for size in sizes:
            name, around = f"a disk of {size} for {command}", small_disk(folder, size, "saved")
            yield one(name=name, command=command, prepare=copied(folder, "saved"), around=around)
    for command in (QUANTIZE, GENERATE, VERIFY, SOURCES):
        around = limit(resource.RLIMIT_FSIZE, 2_000)
        yield one(name=f"no file above 2,000 bytes: {command.split()[0]}", command=command, around=around, code=2)


def _limits() -> Iterator[Accident]:
    one = partial(Accident, kind="memory and places")
    yield one(name="little memory", command=GENERATE, around=limit(resource.RLIMIT_AS, 450 << 20), code=(0, 2))
    yield one(name="few open files", command=GENERATE, around=limit(resource.RLIMIT_NOFILE, 8))
    for name, around in PLACES:
        for command in (GENERATE, QUANTIZE):
            yield one(name=f"{name}: {command.split()[0]}", command=command, around=around, code=0)
    yield one(name="TMPDIR missing: verify", command=VERIFY, around=variables(TMPDIR="/nowhere"), code=(0, 2))
    gone = Surrounding(wrapper=("sh", "-c", IN_A_FOLDER_THAT_IS_GONE))
    yield one(name="the folder is gone", command=GENERATE, around=gone)


def _tools() -> Iterator[Accident]:
    one = partial(Accident, kind="tools")
    nowhere = variables(PATH="/nowhere")
    yield one(name="no compiler", command=VERIFY, around=nowhere)
    yield one(name="no tools for a project", command=SOURCES, around=nowhere, code=0)
    for what, script in BROKEN.items():
        for name in ("g++", "make"):
            yield one(name=f"{name} {what}", command=VERIFY, prepare=tool(name, script), around=own_tools())
        for name in OPEN_TOOLS:
            prepare = several(*(tool(each, script if each == name else "exit 0") for each in OPEN_TOOLS))
            command = SOURCES.removesuffix(" --no-run")
            # Where the tools of PyPI are preferred, nobody calls it.
            yield one(name=f"{name} {what}", command=command, prepare=prepare, around=own_tools(), code=(0, 2))
    fails = tool("yosys", BROKEN["fails"])
    yield one(
        name="yosys fails at synthesize", command="synthesize generated", prepare=fails, around=own_tools(), code=(0, 2)
    )
