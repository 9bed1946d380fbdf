"""The parts of accidents: folders prepared badly, surroundings, and two programs at a time."""

from __future__ import annotations

import os
import shutil
import socket
import time
from pathlib import Path

import numpy as np

from .accidents import Prepare
from .program import Program, Surrounding
from .trial import Outcome

QUANTIZE = "quantize model.keras --data train.npz -o out"
DISK = 'mount -t tmpfs -o size={size} none {folder} && cp -r {saved}/. {folder}/ && exec "$0" "$@"'
FIRST = 60.0  # seconds for a program to begin


def several(*steps: Prepare) -> Prepare:
    return lambda folder: [step(folder) for step in steps]


def text(name: str, content: str = "hello\n", encoding: str = "utf-8") -> Prepare:
    return lambda folder: (folder / name).write_bytes(content.encode(encoding))


def folder_at(name: str) -> Prepare:
    return lambda folder: (folder / name).mkdir(parents=True)


def copied(name: str, to: str) -> Prepare:
    return lambda folder: shutil.copytree(folder / name, folder / to)


def removed(name: str) -> Prepare:
    return lambda folder: shutil.rmtree(folder / name) if (folder / name).is_dir() else (folder / name).unlink()


def mode(name: str, bits: int) -> Prepare:
    return lambda folder: (folder / name).chmod(bits)


def arrays(name: str, **given: np.ndarray) -> Prepare:
    return lambda folder: np.savez(folder / name, **given)  # type: ignore[arg-type]


def links(name: str, target: str) -> Prepare:
    return lambda folder: (folder / name).symlink_to(target)


def pipe(name: str) -> Prepare:
    """A named pipe into which nobody writes, in the place of a file."""

    def made(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)

    return made


def socket_at(name: str) -> Prepare:
    def made(folder: Path) -> None:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(os.path.relpath(folder / name))  # the whole path may be too long for a socket

    return made


def tool(name: str, script: str) -> Prepare:
    """A program of this name in a folder ``tools``."""

    def made(folder: Path) -> None:
        (folder / "tools").mkdir(exist_ok=True)
        (folder / "tools" / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / "tools" / name).chmod(0o755)

    return made


def own_tools() -> Surrounding:
    """Those in the folder ``tools`` come first."""
    return Surrounding(wrapper=("sh", "-c", 'PATH="$PWD/tools:$PATH" exec "$0" "$@"'))


def variables(**values: str | None) -> Surrounding:
    return Surrounding(environment=values)


def limit(kind: int, value: int) -> Surrounding:
    return Surrounding(limits={kind: value})


def small_disk(folder: str, size: str, saved: str) -> Surrounding:
    """A file system of ``size`` at ``folder``, with a copy of what is in ``saved``."""
    script = DISK.format(size=size, folder=folder, saved=saved)
    return Surrounding(wrapper=("unshare", "-rm", "sh", "-c", script))


def signalled(number: int, arguments: tuple[str | bytes, ...], folder: Path, around: Surrounding) -> Outcome:
    """The signal comes while results are made: as soon as something is written."""
    program = Program(arguments, folder, around)
    start = time.monotonic()
    while program.runs and time.monotonic() - start < FIRST:
        if any((folder / "work").glob("**/.dnn2fpga-*")):
            break
        time.sleep(0.002)
    program.kill(number)
    return program.outcome()


def second_of_two(arguments: tuple[str | bytes, ...], folder: Path, around: Surrounding) -> Outcome:
    """Two commands in one folder: what becomes of the second while the first is at work."""
    first = Program(("verify", "generated", "--test", "test.npz"), folder)
    start = time.monotonic()
    while not (folder / "work/generated/.dnn2fpga.lock").exists() and time.monotonic() - start < FIRST:
        time.sleep(0.002)
    (folder / "second").mkdir()
    (folder / "second" / "work").symlink_to(folder / "work")
    outcome = Program(arguments, folder / "second", around).outcome()
    first.kill()
    first.outcome()
    return outcome
