"""Preservation of what others have put into a bundle, or changed in it, when the bundle is generated again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from dnn2fpga.files.atomic import digest

KEPT = "kept"  # folder of a bundle: what cannot stay where it was
BY_PRODUCTS = ("sim/build", "__pycache__")  # of others' use of the bundle; they harm nobody


class OldBundle:
    """A bundle that is about to be replaced.

    :param written: the digests of the files that ``generate`` has written into it, by name; empty when nobody knows.
    """

    def __init__(self, folder: Path, written: Mapping[str, str]) -> None:
        self.folder, self._written = folder, written
        self.generated: tuple[str, ...] = ()  # names of the files of the new bundle, without those that are kept
        self.moved: tuple[str, ...] = ()  # a line for each kept file that has another name now

    def keep(self, new: Path) -> None:
        """Link what ``generate`` has not written into the new bundle, which is complete but for that.

        What lies beside the new bundle's own files and folders stays where it is. What is in the way, or in a folder
        where an additional file could change what is simulated or built, goes to ``kept/``, with the start of its
        digest in its name.
        """
        self.generated = tuple(str(name) for name in _files(new))
        own, moved = {entry.name for entry in new.iterdir()}, []
        for name in _files(self.folder):
            if self._is_ours(name):
                continue
            file, place = self.folder / name, name
            if name.parts[0] in own and not any(f"/{part}/" in f"/{name}" for part in BY_PRODUCTS):
                place = PurePosixPath(KEPT, name.with_name(f"{name.stem}-{digest(file)[:8]}{name.suffix}"))
                moved.append(f"{file}: is not what 'generate' wrote: it is kept as {self.folder / place}")
            _link(file, new / place)
        self.moved = tuple(moved)

    def _is_ours(self, name: PurePosixPath) -> bool:
        if self._written:
            return self._written.get(str(name)) == digest(self.folder / name)
        return str(name) in self.generated


def _files(folder: Path) -> Iterator[PurePosixPath]:
    """The names of all files and links."""
    for parent, folders, files in os.walk(folder):
        for entry in sorted((*files, *(name for name in folders if Path(parent, name).is_symlink()))):
            yield PurePosixPath(Path(parent, entry).relative_to(folder).as_posix())


def _link(file: Path, place: Path) -> None:
    """The same file under another name; a copy where the disk knows no links."""
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(file, place, follow_symlinks=False)
    except FileExistsError:  # kept before: its name has the digest
        return
    except OSError:
        shutil.copy2(file, place, follow_symlinks=False)
