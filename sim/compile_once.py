"""Stands in front of the C++ compiler in Verilator's makefiles: `compile_once.py STORE g++ ... -o OBJECT SOURCE`.

Verilator's own runtime is the same for every design, so its objects are kept in the folder STORE and copied from there.
Everything else is compiled as if this were not here.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

store, command = Path(sys.argv[1]), sys.argv[2:]
source = Path(command[-1])
if not (source.name.startswith("verilated") and command[-3] == "-o"):
    os.execvp(command[0], command)
made = Path(command[-2])
kept = store / f"{source.stem}-{hashlib.sha256(' '.join(command).encode()).hexdigest()[:12]}.o"
if not kept.is_file():
    if failed := subprocess.run(command, check=False).returncode:
        sys.exit(failed)
    store.mkdir(exist_ok=True)
    partial = shutil.copyfile(made, kept.with_suffix(f".{os.getpid()}"))  # what is in the store is always whole
    partial.rename(kept)
else:
    shutil.copyfile(kept, made)
