"""Damaged and hostile ``dnn2fpga.yaml`` and ``model.yaml``, read by ``quantize`` and ``generate``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import yaml

from dnn2fpga.config import Config

from . import damage, trees
from .seeds import Seed, samples
from .trial import TRACE, Trial
from .work_files import WorkFiles

Change = Callable[[str, Random], str | bytes]  # of a YAML text

SCALARS = [
    "2024-13-45", "2024-01-01", "2001-12-14t21:59:43.10-05:00", "9999-99-99", "12:30:45", "1_000", "0o777", "0x",
    "0b2", "1e400", ".inf", "-.inf", ".nan", "!!int abc", "!!int ''", "!!float x", "!!bool maybe", "!!null x",
    "!!timestamp x", "!!binary '*'", "!!set {a, b}", "!!omap [a: 1]", "!!pairs [1]", "!!str 3", "!!int [1]",
    "!!map []", "!!seq {}", "!own x", "!<tag:x> 3", "! 3", "!!python/name:os.system",
    f"!!python/object/apply:os.system ['touch {TRACE}']", "!!python/tuple [1]", "!!merge '<<'", "~", "yes", "NO", "=",
    "<<", "*none", "&a [*a]", "&a {b: *a}", "'", '"\\x"', '"\\uD800"', '"\\U0FFFFFFF"', "|", ">", "@x", "`x", "%x",
    "- - -", "? a", "{a: {b: }", "[1, 2", "{[1]: 2}", "{{}: 1}", "{1: 2}", "{null: 1}", "9" * 5000, "-" + "9" * 400,
    "1" + "0" * 30, "1:" * 2000 + "1", "x" * 1_000_000, "1e22", "18446744073709551616", "0.1e-400",
]  # fmt: skip


def _on_tree(change: Callable[[Any, Random], Any]) -> Change:
    return lambda text, random: _dumped(change(yaml.safe_load(text), random))


def _dumped(tree: Any) -> str:
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)


def scalars(text: str, random: Random) -> str:
    """Change a scalar to an unusual one, a tag or an anchor, at any position."""
    tree = yaml.safe_load(text)
    position = random.choice(list(trees.positions(tree))[1:])
    marked = _dumped(trees.replaced(tree, position, trees.MARK))
    return marked.replace(f"'{trees.MARK}'", random.choice(SCALARS))


def unusual_names(tree: Any, random: Random) -> Any:
    """Names of layers and files, and keys, that nobody expects."""
    texts = [p for p in trees.positions(tree) if isinstance(trees.value_at(tree, p), str)]
    name = random.choice(trees.NAMES)
    if random.random() < 0.7:
        return trees.replaced(tree, random.choice(texts), name)
    position = random.choice([p for p in trees.positions(tree) if isinstance(trees.value_at(tree, p), dict)])
    return trees.replaced(tree, position, {**trees.value_at(tree, position), name: 1})


def aliases(text: str, random: Random) -> str:
    """Aliases that multiply, that contain themselves, and mappings merged into others."""
    tree = yaml.safe_load(text)
    width, depth = random.choice([(2, 5), (10, 9), (10, 30), (2, 64)])
    lists = ["x0: &x0 [1, 2]"] + [f"x{k}: &x{k} [{', '.join([f'*x{k - 1}'] * width)}]" for k in range(1, depth)]
    maps = ["x0: &x0 {a: 1}"] + [
        f"x{k}: &x{k} {{<<: [{', '.join([f'*x{k - 1}'] * width)}], b{k}: 1}}" for k in range(1, depth)
    ]
    position = random.choice(list(trees.positions(tree))[1:])
    marked = _dumped(trees.replaced(tree, position, trees.MARK)).replace(f"'{trees.MARK}'", f"*x{depth - 1}")
    return "\n".join(random.choice([lists, maps])) + "\n" + marked


def nesting(text: str, random: Random) -> str:
    tree = yaml.safe_load(text)
    position = random.choice(list(trees.positions(tree))[1:])
    marked = _dumped(trees.replaced(tree, position, trees.MARK))
    deep = trees.nested(random, *random.choice([("[", "]"), ("{a: ", "}"), ("- ", ""), ("!!seq [", "]"), ("? ", "")]))
    return marked.replace(f"'{trees.MARK}'", deep)


def layout(text: str, random: Random) -> str | bytes:
    """The text itself: indentation, encodings, several documents, control characters, size."""
    lines = text.splitlines()
    one = random.randrange(len(lines))
    return random.choice(
        [
            lambda: "\n".join([*lines[:one], "\t" + lines[one], *lines[one + 1 :]]),
            lambda: "\n".join([*lines[:one], "  " + lines[one], *lines[one + 1 :]]),
            lambda: "\n".join([*lines[:one], lines[one].lstrip(), *lines[one + 1 :]]),
            lambda: "\n".join([*lines[:one], *lines[one + 1 :]]),
            lambda: "\n".join([*lines[:one], lines[one], *lines[one:]]),
            lambda: text + "---\n" + text,
            lambda: "\r\n".join(lines),
            lambda: text.encode("utf-16"),
            lambda: text.encode("utf-32"),
            lambda: "\ufeff" + text,
            lambda: text[: len(text) // 2] + random.choice("\x00\x07\x1b\x85\u2028\ufffe") + text[len(text) // 2 :],
            lambda: text.encode() + b"\xff\xfe\x80",
            lambda: text + "# " + "x" * 5_000_000 + "\n",
            lambda: text + "\n" * 3_000_000,
            lambda: text + "".join(f"key{k}: {k}\n" for k in range(50_000)),
            lambda: text.replace(": ", ":"),
            lambda: json.dumps(yaml.safe_load(text)),
            lambda: random.choice(
                ["", "\n", "---", "...", "null", "3", "- 1", "text", "[]", "{}", "%YAML 9.9\n--- {}", "%TAG ! x"]
            ),
        ]
    )()


CHANGES: dict[str, Change] = {
    "a value of another type": _on_tree(trees.other_type),
    "another value": _on_tree(trees.other_value),
    "a key missing": _on_tree(trees.missing),
    "a key more": _on_tree(trees.added),
    "a value from elsewhere": _on_tree(trees.moved),
    "names": _on_tree(unusual_names),
    "scalars, tags, dates, huge numbers": scalars,
    "anchors and aliases": aliases,
    "nesting": nesting,
    "layout and encoding": layout,
    **{
        f"bytes: {kind}": (lambda text, random, change=change: change(text.encode(), random))
        for kind, change in damage.DAMAGE.items()
    },
}


def trials(work: WorkFiles, model: Seed, count: int, seed: int) -> Iterator[Trial]:
    """Yield at least ``count`` trials, as many of every kind, for either file."""
    settings = settings_text()
    for number in range(-(-count // (2 * len(CHANGES)))):
        for kind, change in CHANGES.items():
            for file, text in (("dnn2fpga.yaml", settings), ("model.yaml", work.files["model.yaml"].decode())):
                name = f"{file}, {kind} {seed}.{number}"
                yield _trial(f"{file}: {kind}", name, change(text, Random(name)), file, work, model, number)


def settings_text() -> str:
    """Every setting there is, with its default."""
    tree = Config().model_dump(mode="json")
    tree |= {"model": "model" + ".keras", "output": "out"}
    tree["data"] |= {"train": "data.npz"}
    return _dumped(tree)


def _trial(kind: str, name: str, made: str | bytes, file: str, work: WorkFiles, model: Seed, number: int) -> Trial:
    quantizes = file == "dnn2fpga.yaml" and number % 2 == 0
    content = made if isinstance(made, bytes) else made.encode("utf-8", "surrogatepass")

    def make(folder: Path) -> None:
        work.write(folder / "work")
        if quantizes:
            (folder / "model.keras").write_bytes(model.content)
            samples_file(folder / "data.npz", model)
        (folder / ("work" if file == "model.yaml" else ".") / file).write_bytes(content)

    return Trial(kind=kind, name=name, arguments=("quantize",) if quantizes else ("generate", "work"), make=make)


def samples_file(path: Path, model: Seed) -> None:
    import numpy as np

    np.savez(path, x=samples(model.shape))
