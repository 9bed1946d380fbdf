"""Damaged and hostile SavedModel folders: bytes of each of the three files that are read, configurations, and what the
index says about arrays, with right lengths and checksums. Each is read.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from random import Random

from . import damage, model_settings
from .seeds import ROOT

sys.path.insert(0, str(ROOT / "tests"))
import saved_models as writer

SAMPLE = ROOT / "tests" / "front_ends" / "samples" / "keras2_savedmodel" / "saved_model"
METADATA, INDEX, DATA = "keras_metadata.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"
Files = dict[str, bytes]
Change = Callable[[Files, Random], Files]
NUMBERS = [0, 1, 2, 3, 7, 100, 2**16, 2**31, 2**32, 2**40, 2**63, 2**64 - 1]


def _damaged(name: str, change: Callable[[bytes, Random], bytes]) -> Change:
    return lambda files, random: files | {name: change(files[name], random)}


def _configured(change: model_settings.Change) -> Change:
    """Another configuration of the whole model."""

    def changed(files: Files, random: Random) -> Files:
        node = writer.field(3, b"root") + writer.field(5, change(_configuration(), random).encode(errors="replace"))
        layers = (
            writer.field(3, path.encode()) + writer.field(5, json.dumps({"name": name}).encode())
            for path, name in NAMES.items()
        )
        return files | {METADATA: b"".join(writer.field(1, one) for one in (node, *layers))}

    return changed


NAMES = {"root.layer_with_weights-0": "c", "root.layer_with_weights-1": "n", "root.layer_with_weights-2": "d"}


def _configuration() -> str:
    from dnn2fpga.read.saved_model import open_saved_model, without_tuples

    return json.dumps(without_tuples(json.loads(open_saved_model(SAMPLE)[0])))


def _entries() -> dict[bytes, bytes]:
    from dnn2fpga.read import sstable

    found = sstable.entries(memoryview((SAMPLE / INDEX).read_bytes()))
    return {key.encode(): bytes(value) for key, value in found.items()}


def entry_changed(files: Files, random: Random) -> Files:
    """Bytes of what the index says about an array."""
    entries = _entries()
    key = random.choice(list(entries))
    entries[key] = damage.bit_flips(entries[key] or b"\0", random)
    return files | {INDEX: writer.table(entries)}


def numbers_changed(files: Files, random: Random) -> Files:
    """Type, extents, place and size of an array."""
    entries = _entries()
    shape = b"".join(
        writer.field(2, writer.field(1, random.choice(NUMBERS))) for _ in range(random.choice([0, 1, 4, 20]))
    )
    fields = [writer.field(number, random.choice(NUMBERS)) for number in (1, 3, 4, 5)]
    key = random.choice(list(entries))
    entries[key] = b"".join(random.sample([*fields, writer.field(2, shape)], random.randint(1, 5))) + entries[key]
    if random.random() < 0.5:
        entries[key] = entries[key] + random.choice(fields)
    return files | {INDEX: writer.table(entries)}


def keys_changed(files: Files, random: Random) -> Files:
    """Names of arrays."""
    entries = _entries()
    key = random.choice(list(entries))
    value = entries.pop(key)
    entries[random.choice([key[:-1], key * 2, b"", b"/", b"\xff" * 900, key.replace(b"0", b"1"), b"../../x"])] = value
    return files | {INDEX: writer.table(entries)}


def missing(files: Files, random: Random) -> Files:
    gone = random.choice(list(files))
    return {name: content for name, content in files.items() if name != gone}


CHANGES: dict[str, Change] = {
    **{
        f"{name}: {kind}": _damaged(name, change)
        for name in (METADATA, INDEX, DATA)
        for kind, change in damage.DAMAGE.items()
    },
    **{kind: _configured(change) for kind, change in model_settings.CHANGES.items()},
    "bytes of entries": entry_changed,
    "numbers of entries": numbers_changed,
    "keys of entries": keys_changed,
    "a file is missing": missing,
}


def folders(each: int, seed: int, changes: Mapping[str, Change] = CHANGES) -> Iterator[tuple[str, Files]]:
    """Yield ``each`` folders of every kind of change: the kind, and the content of the files."""
    whole = {name: (SAMPLE / name).read_bytes() for name in (METADATA, INDEX, DATA)}
    for number in range(each):
        for kind, change in changes.items():
            yield kind, change(whole, Random(f"{kind} {seed}.{number}"))


def outcome(files: Files, folder: Path) -> tuple[str, ...]:
    """Return why a folder is refused; nothing where it is read."""
    from dnn2fpga.errors import UserError
    from dnn2fpga.read.front_ends import read_model

    shutil.rmtree(folder, ignore_errors=True)
    (folder / "variables").mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    try:
        read_model(folder)
    except UserError as reason:
        return reason.problems
    return ()


def run(count: int = 2_000, seed: int = 0, folder: Path = ROOT / "build" / "robustness" / "saved_model") -> None:
    """Read many, and count what came of them."""
    outcome({}, folder)  # imports take time
    results, slowest = Counter[str](), 0.0
    for _, files in folders(-(-count // len(CHANGES)), seed):
        start = time.monotonic()
        refused = outcome(files, folder)
        slowest = max(slowest, time.monotonic() - start)
        results["refused" if refused else "read"] += 1
    print(f"{sum(results.values()):,} folders: {dict(results)}; the slowest took {slowest:.2f} s")


if __name__ == "__main__":
    run()
