"""Output folders appear whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from dnn2fpga.atomic import added_files, replaced_folder
from dnn2fpga.errors import UserError


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
