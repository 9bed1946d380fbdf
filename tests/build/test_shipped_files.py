from pathlib import Path

import pytest

from dnn2fpga.errors import UserError
from dnn2fpga.files import shipped as shipped_files


def test_the_wheel_comes_before_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped_files, "_PACKAGE", tmp_path / "dnn2fpga")
    with pytest.raises(UserError, match="the folder 'boards' of dnn2fpga is missing"):
        shipped_files.shipped_folder("boards")
    (tmp_path / "boards").mkdir()
    assert shipped_files.shipped_folder("boards") == tmp_path / "boards"
    (tmp_path / "dnn2fpga" / "shipped" / "boards").mkdir(parents=True)
    assert shipped_files.shipped_folder("boards") == tmp_path / "dnn2fpga" / "shipped" / "boards"
