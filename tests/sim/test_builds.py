"""A compiled simulator is used again only for the same ingredients, and only while it is what was compiled."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from builds import COMPLETE, SIM, cached
from errors import ToolError
from toolchain import Toolchain

TOOLCHAIN = Toolchain(Path("/nowhere/verilator"), "5.0", "")


@dataclass(frozen=True)
class Design:
    """The attributes of a manifest that a build needs."""

    rtl: Path
    top: str = "accelerator"


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Path, int]]:
    """Build the design, and return how often a compiler was called for it so far."""
    monkeypatch.setenv("MAKEFLAGS", "")
    design = Design(tmp_path / "design.v")
    design.rtl.write_text("module accelerator; endmodule\n")
    built: list[Path] = []

    def compile(folder: Path, log: Path) -> None:
        program = folder / "bulk"
        program.write_text(f"simulates {design.rtl.read_text()}")
        program.chmod(0o755)
        (folder / "bulk.o").write_text("object")
        built.append(folder)

    def build(*parts: str) -> tuple[Path, int]:
        folder = cached("bulk", list(parts), design, TOOLCHAIN, tmp_path / "builds", compile)
        return folder / "bulk", len(built)

    return build


def test_a_build_is_kept(build: Callable[..., tuple[Path, int]]) -> None:
    assert build() == build()


def test_other_verilog_and_other_options_are_built(build: Callable[..., tuple[Path, int]], tmp_path: Path) -> None:
    first, _ = build()
    (tmp_path / "design.v").write_text("module accelerator; wire x; endmodule\n")
    second, count = build()
    assert (first != second, count) == (True, 2)
    third, count = build("-O3")
    assert (third not in (first, second), count) == (True, 3)


TAMPERINGS: dict[str, Callable[[Path], object]] = {
    "another program": lambda program: program.write_text("always passes"),
    "a program cut off": lambda program: program.write_bytes(program.read_bytes()[:5]),
    "no program": lambda program: program.unlink(),
    "an unfinished build": lambda program: (program.parent / COMPLETE).unlink(),
    "a build of an older version": lambda program: (program.parent / COMPLETE).write_text(""),
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_what_is_not_the_program_that_was_built_is_built_again(
    name: str, build: Callable[..., tuple[Path, int]]
) -> None:
    program, _ = build()
    content = program.read_text()
    TAMPERINGS[name](program)
    assert build() == (program, 2)
    assert program.read_text() == content


def test_an_object_of_the_runtime_is_used_again_only_as_it_was(tmp_path: Path) -> None:
    store, source, made = tmp_path / "store", tmp_path / "verilated.cpp", tmp_path / "verilated.o"
    calls = tmp_path / "calls"
    compiler = tmp_path / "compiler.py"
    compiler.write_text(f"import sys; open({str(calls)!r}, 'a').write('x'); open(sys.argv[-2], 'w').write('object')")
    command = [sys.executable, str(SIM / "compile_once.py"), str(store), sys.executable, str(compiler)]

    def compiled() -> tuple[str, int]:
        made.unlink(missing_ok=True)
        subprocess.run([*command, "-o", str(made), str(source)], check=True)
        return made.read_text(), len(calls.read_text())

    assert compiled() == ("object", 1)
    assert compiled() == ("object", 1)
    (kept,) = store.iterdir()
    kept.write_text("another")
    assert compiled() == ("object", 2)
    assert compiled() == ("object", 2)


def test_what_cannot_be_kept_is_no_failure_of_the_compiler(tmp_path: Path) -> None:
    """The store, of which nobody has asked, adds no message to those of compiler and linker."""
    (tmp_path / "store").write_text("no folder can be made here")
    made, compiler = tmp_path / "verilated.o", tmp_path / "compiler.py"
    compiler.write_text("import sys; open(sys.argv[-2], 'w').write('object')")
    command = [sys.executable, str(SIM / "compile_once.py"), str(tmp_path / "store"), sys.executable, str(compiler)]
    done = subprocess.run([*command, "-o", str(made), "verilated.cpp"], check=True, capture_output=True, text=True)
    assert done.stderr == ""
    assert made.read_text() == "object"


def test_make_never_sees_a_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAKEFLAGS", "")
    design = Design(tmp_path / "design.v")
    design.rtl.write_text("module accelerator; endmodule\n")
    places: list[Path] = []

    def compile(folder: Path, log: Path) -> None:
        places.append(folder)
        (folder / "bulk").write_text("program")
        (folder / "bulk").chmod(0o755)

    folders = [cached("bulk", [], design, TOOLCHAIN, tmp_path / "my work", compile) for _ in range(2)]
    assert len(places) == 1
    assert " " not in str(places[0])
    assert folders == [tmp_path / "my work" / folders[0].name] * 2
    assert (folders[0] / "bulk").read_text() == "program"


def test_a_compiler_that_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAKEFLAGS", "")
    design = Design(tmp_path / "design.v")
    design.rtl.write_text("module accelerator; endmodule\n")
    with pytest.raises(ToolError, match="no program has come of it"):
        cached("bulk", [], design, TOOLCHAIN, tmp_path / "builds", lambda folder, log: None)
    command = [sys.executable, str(SIM / "compile_once.py"), str(tmp_path / "store"), "true"]
    done = subprocess.run([*command, "-o", "v.o", "verilated.cpp"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "true: ended well and wrote no v.o\n")


@pytest.mark.parametrize(
    ("version", "inlines"), [("5.36", False), ("5.042", False), ("5.048", True), ("5.100.1", True)]
)
def test_small_functions_are_not_inlined(version: str, inlines: bool) -> None:
    options = Toolchain(Path("/nowhere/verilator"), version, "").options
    assert ("--inline-cfuncs" in options) == inlines
