"""Stands for yosys, nextpnr and a packer; ``tools.json`` in the folder that FAKE_TOOLS names says what they shall do.

Called as ``python fake_tools.py <name> <arguments>``; it appends its arguments to ``calls.txt`` there.
"""

import json
import os
import sys
import time
from pathlib import Path


def after(option: str) -> str:
    return sys.argv[sys.argv.index(option) + 1]


home = Path(os.environ["FAKE_TOOLS"])
name = sys.argv[1]
plan = json.loads((home / "tools.json").read_text())
with (home / "calls.txt").open("a") as calls:
    calls.write(" ".join(sys.argv[1:]) + "\n")
own = plan.get(name, {})
if name == "yosys":
    Path(after("-l")).write_text("1. Executing Verilog-2005 frontend\n2.1. Executing OPT_EXPR pass\n")
    Path("netlist.json").write_text("{}")
    Path("netlist.v").write_text("module top; endmodule\n")
    if own.get("cells") is not None:
        Path("cells.json").write_text(json.dumps({"design": {"num_cells_by_type": own["cells"]}}))
elif name.startswith("nextpnr"):
    seed = after("--seed")
    Path(after("--log")).write_text(own.get("log", "Info: Program finished normally.\n"))
    time.sleep(own.get("sleeps", 0))
    mhz = own.get("mhz", {}).get(seed)
    if mhz is not None:
        clock = {"achieved": mhz, "constraint": own.get("constraint", float(after("--freq")))}
        used = {kind: {"used": n, "available": 100000} for kind, n in own.get("used", {}).items()}
        Path(after("--report")).write_text(json.dumps({"fmax": {"clk": clock}, "utilization": used}))
    Path("placed").write_text(f"placed with seed {seed}")
else:
    Path(sys.argv[-1]).write_text(f"bits of: {Path('placed').read_text()}")
print(own.get("says", ""))
sys.exit(own.get("code", 0))
