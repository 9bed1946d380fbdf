"""Commands that must be refused, in little time and memory."""

from __future__ import annotations

import resource
from pathlib import Path

from command_line import program

SECONDS, BYTES = 5, 2**30  # of processor time and memory, for the whole command

MEASURED = r"""
import atexit, re, resource
from pathlib import Path

def tell():  # the largest memory of this process since it was started, and of those that it started
    own = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]
    Path("most").write_text(str(max(int(own), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)))

atexit.register(tell)
"""


def refused_cheaply(folder: Path, *arguments: object) -> str:
    """Return the message of a command that must be refused within the limits."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    outcome = program(MEASURED, *arguments, cwd=folder)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    text = " ".join(outcome.stderr.split())
    assert outcome.returncode == 2, text
    assert "Traceback" not in text
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < SECONDS, "processor time"
    assert int((folder / "most").read_text()) * 1024 < BYTES, "memory"
    assert not (folder / "trace").exists()
    assert not (folder / "work").exists()
    return text
