"""The text of the scripts in the folder `vivado/` of a bundle."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from dnn2fpga.build.boards import Board, Interface
from dnn2fpga.build.tops.ip_registers import ADDRESS_BITS, registers_of
from dnn2fpga.build.tops.ip_top import AXI_LITE, TOP, ip_verilog
from dnn2fpga.build.tops.stream_port import StreamPorts
from dnn2fpga.build.vivado.driver_file import driver_text
from dnn2fpga.build.vivado.system import system_values
from dnn2fpga.errors import UserError
from dnn2fpga.files.atomic import digest
from dnn2fpga.generate.manifest import MANIFEST, Manifest, read_manifest
from dnn2fpga.version import __version__

BITSTREAM = "accelerator.bit"
_TEMPLATES = Path(__file__).parent / "templates"
_NEIGHBOUR_SHARE_PERCENT = 20  # of the clock period, left to the logic on the other side of a port
_IP_VERILOG = f"vivado/rtl/{TOP}.v"


def _manifest_with_sources(bundle: Path) -> Manifest:
    """Raise `UserError` when the manifest cannot be used, or a Verilog file that it names is missing."""
    file = bundle / MANIFEST
    manifest = read_manifest(file)
    if not manifest.sources:
        raise UserError(f"{file}: files must name at least one rtl/<name>.v")
    missing = [name for name in manifest.sources if not (bundle / name).is_file()]
    if missing:
        raise UserError([f"{bundle / name}: named in manifest.json, but missing" for name in missing])
    return manifest


def vivado_files(bundle: Path, board: Board, clock_mhz: float, board_files: Sequence[Path]) -> dict[str, str]:
    """Texts by their names in `vivado/`; raises `UserError`."""
    manifest = _manifest_with_sources(bundle)
    streams = StreamPorts.of(manifest)
    period_ps = int(1_000_000 / clock_mhz)
    mhz = f"{clock_mhz:g}"
    values: dict[str, Any] = {
        "board": board,
        "sources": manifest.sources,
        "ip_sources": [*manifest.sources, _IP_VERILOG],
        "ip": _packaged_ip(streams),
        "streams": streams,
        "manifest": manifest,
        "package_version": __version__,
        "bitstream": BITSTREAM,
        "mhz": mhz,
        "period_ns": f"{period_ps / 1000:.3f}",
        "io_percent": _NEIGHBOUR_SHARE_PERCENT,
        "io_delay_ns": f"{period_ps * _NEIGHBOUR_SHARE_PERCENT / 100 / 1000:.3f}",
    }
    # The scripts are those of one design: of another one, results that are there are put aside.
    design = f"{digest(bundle / MANIFEST)}  ../{MANIFEST}\n"
    files = {"design.sha256": design, f"rtl/{TOP}.v": ip_verilog(streams)}
    kind = "out_of_context"
    if board.interface is Interface.PROCESSING_SYSTEM:
        kind = "system"
        values |= system_values(board, mhz, streams)
        files["driver/accelerator_pynq.py"] = driver_text()
        files["driver/manifest.json"] = (bundle / MANIFEST).read_text(encoding="utf-8")
    elif board_files:
        kind = "board"
        names = _from_bundle(bundle, board_files)
        own = {Path(name).name for name in names}  # a copy of the bundle's Verilog may be among them
        sources = [name for name in manifest.sources if Path(name).name not in own]
        values["board_sources"] = [*sources, *(name for name in names if name.endswith(".v"))]
        values["board_constraints"] = [name for name in names if name.endswith(".xdc")]
    templates = {name: name for name in ("README.md", "out_of_context.tcl", "out_of_context.xdc", "package_ip.tcl")}
    for name, template in (templates | {"project.tcl": f"project_{kind}.tcl"}).items():
        text = _environment().get_template(f"{template}.j2").render(values, project_kind=kind)
        files[name] = re.sub(r"\n{3,}", "\n\n", text.strip()) + "\n"
    return files


def _packaged_ip(streams: StreamPorts) -> dict[str, Any]:
    """Name and version of the IP: Vivado wants two numbers, and counts revisions of them."""
    numbers = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", __version__)
    major, minor, patch = numbers.groups(default="0") if numbers else ("0", "0", "0")
    vendor = library = "dnn2fpga"
    return {
        "top": TOP,
        "vendor": vendor,
        "library": library,
        "version": f"{major}.{minor}",
        "revision": patch,
        "vlnv": f"{vendor}:{library}:{TOP}:{major}.{minor}",
        "control": AXI_LITE,
        "range": 1 << ADDRESS_BITS,
        "interfaces": [*streams.axes, AXI_LITE],
        "registers": registers_of(streams),
    }


def _from_bundle(bundle: Path, files: Sequence[Path]) -> list[str]:
    """Paths of the board's files from the bundle, so that the two may move together."""
    missing = [f"{file}: missing" for file in files if not file.is_file()]
    names = sorted(Path(os.path.relpath(file.resolve(), bundle.resolve())).as_posix() for file in files)
    # The names go into Tcl.
    unfit = [f"{name}: must have letters, digits and _ . - / only" for name in names if re.search(r"[^\w./-]", name)]
    unknown = [f"{name}: must end in .v or .xdc" for name in names if not name.endswith((".v", ".xdc"))]
    if problems := missing + unfit + unknown:
        raise UserError(problems)
    return names


def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(_TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Tcl and Markdown, not HTML
    )
