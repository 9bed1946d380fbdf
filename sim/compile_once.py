"""A wrapper of the C++ compiler in Verilator's makefiles: `compile_once.py STORE g++ ... -o OBJECT SOURCE`.

Verilator's own runtime is the same for every design, so its objects are kept in the folder STORE and copied from there.
Their names end with a digest of their content: an object that is no longer what was compiled is compiled again.
Everything else is compiled as if this were not here, and so is what the disk has no room for.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

store, command = Path(sys.argv[1]), sys.argv[2:]
source = Path(command[-1])
if not (source.name.startswith("verilated") and command[-3] == "-o"):
    os.execvp(command[0], command)


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]


made, name = Path(command[-2]), f"{source.stem}-{digest(' '.join(command).encode())}"
for kept in store.glob(f"{name}-*.o"):
    with suppress(OSError):
        if kept.name == f"{name}-{digest(kept.read_bytes())}.o":
            shutil.copyfile(kept, made)
            sys.exit()
if failed := subprocess.run(command, check=False).returncode:
    sys.exit(failed)
if not made.is_file():
    sys.exit(f"{command[0]}: ended well and wrote no {made.name}")
partial = store / f"{name}.{os.getpid()}"  # what is in the store is always whole
with suppress(OSError):  # nothing is lost but time
    store.mkdir(exist_ok=True)
    shutil.copyfile(made, partial)
    partial.rename(store / f"{name}-{digest(partial.read_bytes())}.o")
with suppress(OSError):
    partial.unlink(missing_ok=True)
