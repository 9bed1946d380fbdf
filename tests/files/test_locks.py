"""A lock has one holder, names it, and is free when that process is gone."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from dnn2fpga.files.locks import Held, locked


def holder(file: Path) -> int:
    """A process that holds the lock, and waits to be killed."""
    ready, told = os.pipe()
    child = os.fork()
    if not child:
        with locked(file):
            os.write(told, b"!")
            signal.pause()
    os.read(ready, 1)
    return child


def test_a_lock_is_held_once_and_gone_afterwards(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    with locked(file):
        with pytest.raises(Held), locked(file):
            pytest.fail("two have it")
        assert file.exists()
    assert not file.exists()


def test_the_holder_is_named_and_a_killed_one_holds_nothing(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    child = holder(file)
    try:
        with pytest.raises(Held, match=rf"\(process {child}\)"), locked(file):
            pytest.fail("two have it")
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert file.exists(), "nobody could remove it"
    with locked(file):
        assert f"process {os.getpid()}" in file.read_text()
    assert not file.exists()


def test_the_file_that_a_holder_has_removed_is_not_taken_for_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last holder ends between opening and locking the file: another process may have made the file anew."""
    file = tmp_path / "lock"
    ends = iter([file.unlink])
    monkeypatch.setattr("fcntl.flock", lambda *_: next(ends, lambda: None)())
    with locked(file):
        assert file.exists()
    assert not file.exists()


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"), locked(tmp_path / "none" / "lock"):
        pytest.fail("there is nowhere to write")
