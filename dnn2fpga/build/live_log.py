"""Run a tool that needs minutes, and report its progress meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from dnn2fpga.processes.programs import started

POLL_SECONDS = 0.2


def run_watched(
    command: Sequence[str], folder: Path, log: str, words: Callable[[str], str | None], tell: Callable[[str], None]
) -> tuple[int, str]:
    """Exit code, and what the tool wrote outside of its log.

    The log is read while it grows, because the tools of PyPI do not give all of it on their output.

    :param log: the file in ``folder`` that the tool writes.
    :param words: makes news of a line of it, or not.
    """
    output = folder / f"{log}.out"
    with (
        output.open("w+", encoding="utf-8", errors="replace") as captured,
        started(command, folder=folder, scratch=folder, stdout=captured, stderr=captured) as program,
    ):
        place, last = 0, ""
        while program.poll() is None:
            time.sleep(POLL_SECONDS)
            place, text = _new_text(folder / log, place)
            news = [told for line in text.splitlines() if (told := words(line))]
            if not text and not place and "Preparing to run" in output.read_text(encoding="utf-8", errors="replace"):
                news = ["first start on this machine: compiling the tool itself"]
            if news and news[-1] != last:
                last = news[-1]
                tell(last)
    said = output.read_text(encoding="utf-8", errors="replace")
    output.unlink()
    return program.returncode, said


def _new_text(file: Path, place: int) -> tuple[int, str]:
    """Return the whole lines that have been added after ``place``, and the new place."""
    if not file.is_file():
        return place, ""
    with file.open("rb") as stream:
        stream.seek(place)
        added = stream.read()
    whole = added[: added.rfind(b"\n") + 1]
    return place + len(whole), whole.decode(errors="replace")
