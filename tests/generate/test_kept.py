"""Files that others have put into a bundle survive ``generate``."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from command_line import Run

from dnn2fpga import flow
from dnn2fpga.plan.settings import PlanSettings
from dnn2fpga.work_folder import WorkFolder


@pytest.fixture
def work(generated: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(generated, tmp_path / "work"))


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def generate_again(work: Path) -> list[str]:
    told: list[str] = []
    flow.generate(work, PlanSettings(levels_per_register=2), told=told.append)
    return told


def test_an_untouched_bundle_is_replaced_as_a_whole(work: Path) -> None:
    before = names(work / "bundle")
    (work / "bundle" / "sim" / "vectors" / "boundary_99.bin").write_bytes(b"old")
    record = json.loads((work / "generation.json").read_text())
    assert generate_again(work) == [
        f"{work}/bundle/sim/vectors/boundary_99.bin: is not what 'generate' wrote: it is kept as "
        f"{work}/bundle/kept/sim/vectors/boundary_99-cba06b57.bin"
    ]
    assert names(work / "bundle") == before | {"kept/sim/vectors/boundary_99-cba06b57.bin"}
    assert record["rests_on"].keys() == json.loads((work / "generation.json").read_text())["rests_on"].keys()


def test_files_beside_the_bundles_own_stay_where_they_are(work: Path) -> None:
    bundle = work / "bundle"
    (bundle / "notes.txt").write_text("mine")
    (bundle / "waves" / "deep").mkdir(parents=True)
    (bundle / "waves" / "deep" / "dump.vcd").write_text("waves")
    (bundle / "link").symlink_to("waves")
    (bundle / "sim" / "build").mkdir()
    (bundle / "sim" / "build" / "log").write_text("built")
    assert generate_again(work) == []
    assert (bundle / "notes.txt").read_text() == "mine"
    assert (bundle / "waves" / "deep" / "dump.vcd").read_text() == "waves"
    assert (bundle / "link").readlink() == Path("waves")
    assert (bundle / "sim" / "build" / "log").read_text() == "built"
    WorkFolder(work).current_bundle()
    (bundle / "notes.txt").write_text("mine, and changed: the bundle's verdicts stand")
    WorkFolder(work).current_bundle()


def test_what_was_changed_or_added_among_them_is_kept_elsewhere(dnn2fpga: Run, work: Path) -> None:
    bundle = work / "bundle"
    (bundle / "README.md").write_text("my readme")
    (bundle / "rtl" / "mine.v").write_text("module mine; endmodule")
    for _ in range(2):
        outcome = dnn2fpga("generate", work)
        assert outcome.code == 0
        kept = {name for name in names(bundle) if name.startswith("kept/")}
        assert {name.partition("-")[0] for name in kept} == {"kept/README", "kept/rtl/mine"}
    assert {(bundle / name).read_text() for name in kept} == {"my readme", "module mine; endmodule"}
    assert (bundle / "README.md").read_text() != "my readme"
    assert not (bundle / "rtl" / "mine.v").exists()
    assert "is kept as" not in outcome.out, "the second time there was nothing to tell"
    (bundle / "README.md").write_text("my readme")
    assert "README.md: is not what 'generate' wrote: it is kept as" in dnn2fpga("generate", work).out


def test_of_an_older_bundle_only_what_has_other_names_is_kept(work: Path) -> None:
    (work / "generation.json").write_text("{}")
    (work / "bundle" / "notes.txt").write_text("mine")
    assert generate_again(work) == []
    assert (work / "bundle" / "notes.txt").read_text() == "mine"
    assert not (work / "bundle" / "kept").exists()
