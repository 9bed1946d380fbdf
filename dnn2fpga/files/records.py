"""Results in JSON files that say which files they rest on, as digests, and end with a seal over their own content.

The digests find results that have gone stale; the seal finds damage and edits by hand. Neither is a signature:
whoever changes a file can compute both again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from dnn2fpga.files.atomic import digest

VERSION = 1  # to be raised when the content of any record changes


class UnreadableRecord(ValueError):
    """The message says what is wrong with the file, to be put after its name."""


class Record(BaseModel):
    """A result: its name, the digests of the files that it rests on, its seal; names are paths in the work folder."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)

    record: str
    record_version: Literal[1]
    rests_on: dict[str, str]
    seal: str

    @property
    def content(self) -> dict[str, Any]:
        """The result itself."""
        return dict(self.model_extra or {})


def write_record(folder: Path, name: str, content: Mapping[str, Any], rests_on: Mapping[str, str]) -> None:
    """Write `content`, plain values of JSON, as the record `name` into `folder`, from where it goes to its place."""
    record = {**content, "record": name, "record_version": VERSION, "rests_on": dict(rests_on)}
    text = json.dumps({**record, "seal": _seal(record)}, indent=1)
    (folder / Path(name).name).write_text(text + "\n", encoding="utf-8")


def read_record(work: Path, name: str) -> Record:
    """Read the record `name` of a work folder; raises `UnreadableRecord` when there is none, or it is not as it was
    written.
    """
    try:
        text = (work / name).read_bytes()
    except FileNotFoundError:
        raise UnreadableRecord("is missing") from None
    except OSError as error:
        raise UnreadableRecord(f"cannot be read: {error.strerror or error}") from error
    try:
        record = Record.model_validate_json(text)
    except ValidationError:
        raise UnreadableRecord("is damaged, or of another version") from None
    if record.record != name or record.seal != _seal(record.model_dump(exclude={"seal"})):
        raise UnreadableRecord("has been edited since it was written")
    return record


def digests(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """The digests of files in `folder`, by name; empty for a file that is not there."""
    return {name: digest(folder / name) for name in names}


def changes(folder: Path, rests_on: Mapping[str, str]) -> list[str]:
    """One line for each file in `folder` that no longer has its digest."""
    found = []
    for name, then in rests_on.items():
        now = digest(folder / name)
        if now != then:
            what = "is missing" if not now else "has changed" if then else "is new"
            found.append(f"{folder / name}: {what}")
    return found


def _seal(record: Mapping[str, Any]) -> str:
    """The same for every way to lay out the same JSON."""
    return hashlib.sha256(json.dumps(record, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
