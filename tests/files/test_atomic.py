"""Output folders appear whole or not at all."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from accident import at_every_step, full_disk, interrupted, killed, lines_of, refused, takes_space, terminated

from dnn2fpga.errors import UserError
from dnn2fpga.files.atomic import added_files, replaced_folder, scratch_folder, sweep
from dnn2fpga.processes.interrupts import ended_by_signals


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_a_new_folder_appears_at_the_end(tmp_path: Path) -> None:
    with replaced_folder(tmp_path / "deep" / "target") as folder:
        (folder / "a").write_text("a")
        assert not (tmp_path / "deep" / "target").exists()
    assert names(tmp_path) == {"deep", "deep/target", "deep/target/a"}


def test_an_old_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "old").write_text("old")
    with replaced_folder(tmp_path / "target") as folder:
        (folder / "new").write_text("new")
    assert names(tmp_path) == {"target", "target/new"}


def test_added_files_keep_the_others(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("kept")
    (tmp_path / "changed").write_text("old")
    with added_files(tmp_path) as new:
        (new / "changed").write_text("new")
        assert (tmp_path / "changed").read_text() == "old"
    assert names(tmp_path) == {"kept", "changed"}
    assert (tmp_path / "changed").read_text() == "new"


def fail_inside(context: AbstractContextManager[Path], error: BaseException) -> None:
    with context as folder:
        (folder / "half").write_text("half")
        raise error


@pytest.mark.parametrize("context", [replaced_folder, added_files])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("mistake"), OSError(28, "No space left on device")])
def test_after_an_error_everything_is_as_before(
    tmp_path: Path, context: Callable[[Path], AbstractContextManager[Path]], error: BaseException
) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "old").write_text("old")
    for target in ("target", "new", "deep/er/new"):
        expected = UserError if isinstance(error, OSError) else type(error)
        with pytest.raises(expected):
            fail_inside(context(tmp_path / target), error)
        assert names(tmp_path) == {"target", "target/old"}


@pytest.mark.parametrize("context", [replaced_folder, added_files])
def test_places_that_cannot_be_written(tmp_path: Path, context: Callable[[Path], AbstractContextManager[Path]]) -> None:
    (tmp_path / "file").write_text("a file")
    for target in (tmp_path / "file" / "below", Path("/proc/dnn2fpga/below")):
        with pytest.raises(UserError, match="cannot be written"), context(target):
            pytest.fail("there is nowhere to write")


# --- accidents at every step

OLD, NEW = {"a": "old a", "b": "old b", "c": "old c"}, {"a": "new a", "b": "new b", "d": "new d"}


def written(folder: Path, content: dict[str, str]) -> None:
    for name, text in content.items():
        (folder / name).write_text(text)


def content(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


def prepared(root: Path) -> Callable[[int], Path]:
    def one(step: int) -> Path:
        folder = root / str(step) / "target"
        folder.mkdir(parents=True)
        written(folder, OLD)
        return folder

    return one


def replace(target: Path) -> None:
    with replaced_folder(target) as new:
        written(new, NEW)


def add(target: Path) -> None:
    with added_files(target) as new:
        written(new, NEW)


WORKS = pytest.mark.parametrize(("work", "after"), [(replace, NEW), (add, OLD | NEW)])


@WORKS
def test_a_kill_at_any_step_leaves_the_old_or_the_new(
    tmp_path: Path, work: Callable[[Path], None], after: dict[str, str]
) -> None:
    found = []
    for folder in at_every_step(killed, prepared(tmp_path), work):
        sweep(folder.parent)
        found.append(content(folder))
        assert names(folder.parent) == {"target", *(f"target/{name}" for name in found[-1])}
    assert OLD in found, "the first steps change nothing"
    assert after in found, "the last steps only tidy up"
    assert all(one in (OLD, after) for one in found)
    assert found.index(after) == found.count(OLD), "there is one moment of which all depends"


@WORKS
def test_an_interrupt_at_any_step_leaves_the_old_or_the_new(
    tmp_path: Path, work: Callable[[Path], None], after: dict[str, str]
) -> None:
    for folder in at_every_step(interrupted, prepared(tmp_path), work):
        assert content(folder) in (OLD, after)


@WORKS
def test_a_signal_at_any_line_leaves_the_old_or_the_new_and_nothing_else(
    tmp_path: Path, work: Callable[[Path], None], after: dict[str, str]
) -> None:
    def until_a_signal(folder: Path) -> None:
        with ended_by_signals():
            work(folder)

    found = []
    counts = lines_of("atomic.py", "interrupts.py")
    for folder in at_every_step(terminated, prepared(tmp_path), until_a_signal, counts=counts):
        found.append(content(folder))
        assert found[-1] in (OLD, after)
        assert names(folder.parent) == {"target", *(f"target/{name}" for name in found[-1])}
    assert OLD in found
    assert after in found


@WORKS
def test_one_refused_step_leaves_the_old_or_the_new(
    tmp_path: Path, work: Callable[[Path], None], after: dict[str, str]
) -> None:
    """One refused step leaves the old or the new files. Of several files some may have been renamed already: the next
    command does the rest.
    """
    for folder in at_every_step(refused, prepared(tmp_path), work):
        if work is replace:
            assert content(folder) in (OLD, after)
        sweep(folder.parent)
        assert content(folder) in (OLD, after)


@WORKS
def test_a_disk_that_is_full_from_any_step_on_leaves_the_old(
    tmp_path: Path, work: Callable[[Path], None], after: dict[str, str]
) -> None:
    for folder in at_every_step(full_disk, prepared(tmp_path), work, lasts=True, counts=takes_space):
        assert content(folder) == OLD
        assert names(folder.parent) == {"target", *(f"target/{name}" for name in OLD)}


def test_what_a_living_process_writes_is_not_swept(tmp_path: Path) -> None:
    with added_files(tmp_path) as new, scratch_folder(tmp_path) as scratch:
        sweep(tmp_path)
        assert new.is_dir()
        assert scratch.is_dir()
        (new / "a").write_text("a")
    assert names(tmp_path) == {"a"}


def test_what_is_not_ours_is_not_swept(tmp_path: Path) -> None:
    for name in (".hidden", ".dnn2fpga", "dnn2fpga-x"):
        (tmp_path / name).mkdir()
    sweep(tmp_path)
    assert names(tmp_path) == {".hidden", ".dnn2fpga", "dnn2fpga-x"}


def test_a_file_is_not_replaced_by_a_folder_nor_a_folder_by_a_file(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("notes")
    with pytest.raises(UserError, match="target: must be a folder, not a file; move it away"):
        replace(tmp_path / "target")
    (tmp_path / "b").mkdir()
    with pytest.raises(UserError, match="b: must be a file, not a folder; move it away"):
        add(tmp_path)
    assert names(tmp_path) == {"target", "b"}


def test_files_that_grow_too_large(tmp_path: Path) -> None:
    """A write that fails, as on a full disk, but without one."""
    pid = os.fork()
    if not pid:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            with replaced_folder(tmp_path / "target") as new:
                (new / "large").write_bytes(bytes(2000))
        except UserError as error:
            os._exit(2 if "File too large" in str(error) else 3)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 2
    assert names(tmp_path) == set()
