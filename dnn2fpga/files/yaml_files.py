"""YAML files, read as what they are to us: text from a stranger.

YAML can nest without end, repeat itself by aliases until memory is full, and spell values that make its own library
fail. So a text is measured before any value is made of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from dnn2fpga.errors import UserError, damage_reported

LARGEST_FILE = 4 * 2**20  # bytes
MOST_VALUES = 200_000  # with what aliases repeat
DEEPEST = 40  # lists and mappings inside each other
LONGEST_VALUE = 10_000  # characters of one value

_LOADER = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader


def read_yaml(path: Path) -> Any:
    """A YAML file as plain values.

    :raises UserError: when it cannot be read, is too large, or is not valid.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    if len(content) > LARGEST_FILE:
        raise UserError(f"{path}: is larger than {LARGEST_FILE:,} bytes")
    with damage_reported(f"{path}: not valid YAML"):
        text = content.decode("utf-8")
    return parse_yaml(text, path)


def parse_yaml(text: str, where: Path | str) -> Any:
    """YAML as plain values; raises ``UserError``."""
    with damage_reported(f"{where}: not valid YAML"):
        if problem := _too_large(yaml.parse(text, Loader=_LOADER)):
            raise UserError(f"{where}: {problem}")
        return yaml.load(text, Loader=_LOADER)


def _too_large(events: Iterator[yaml.Event]) -> str | None:
    """Return what is too large in a text, in a few words; None if nothing is. Follow the events of the parser, which
    never recurse.
    """
    sizes: dict[str, int] = {}  # values under each anchor, with those of aliases
    open_sizes = [0]
    open_anchors: list[str | None] = [None]
    for event in events:
        match event:
            case yaml.ScalarEvent():
                if len(event.value) > LONGEST_VALUE:
                    return f"a value is longer than {LONGEST_VALUE:,} characters"
                size, anchor = 1, event.anchor
            case yaml.AliasEvent():
                if event.anchor in open_anchors:
                    return f"the alias *{event.anchor} stands inside of what it repeats"
                size, anchor = sizes.get(str(event.anchor), 0), None
            case yaml.CollectionStartEvent():
                open_sizes.append(1)
                open_anchors.append(event.anchor)
                if len(open_sizes) > DEEPEST + 1:
                    return f"it is nested deeper than {DEEPEST} levels"
                continue
            case yaml.CollectionEndEvent():
                size, anchor = open_sizes.pop(), open_anchors.pop()
            case _:
                continue
        open_sizes[-1] += size
        if anchor is not None:
            sizes[anchor] = size
        if open_sizes[-1] > MOST_VALUES:
            return f"it holds more than {MOST_VALUES:,} values, with what its aliases repeat"
    return None
