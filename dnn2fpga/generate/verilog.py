"""Amaranth → Verilog text, the same bytes every time."""

from __future__ import annotations

import os

from dnn2fpga.generate.accelerator import Accelerator

TOP = "accelerator"


def to_verilog(accelerator: Accelerator) -> str:
    """Plain Verilog-2001 of the whole design; no source paths, no attributes that differ between runs."""
    os.environ["AMARANTH_USE_YOSYS"] = "builtin"  # pinned: another Yosys would write other bytes
    from amaranth.back import verilog

    return verilog.convert(accelerator, name=TOP, emit_src=False, strip_internal_attrs=True)
