"""Turns what pydantic found wrong with a file into lines for a person."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

# Numbers that settings may hold: no honest one is larger, and none makes arithmetic overflow or fills the memory.
Count = Annotated[int, Field(ge=1, le=10**9)]
CountOrNone = Annotated[int, Field(ge=0, le=10**9)]
Cycles = Annotated[int, Field(ge=1, le=10**12)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Positive = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]
PositiveOrNone = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]

_LONGEST_VALUE = 60  # characters of a wrong value that are still shown


def problems_of(error: ValidationError, file: Path | str, known_keys: Mapping[str, Iterable[str]]) -> list[str]:
    """Return one line per problem, each with the file and the path of the key.

    `known_keys` lists the keys that exist under a key ("" for the whole file), to offer one for a misspelt key.
    """
    lines = []
    for problem in error.errors():
        location = problem["loc"]
        path = _path(location)
        value = repr(problem["input"])
        if problem["type"] == "extra_forbidden":
            parent = next((part for part in reversed(location[:-1]) if isinstance(part, str)), "")
            close = get_close_matches(str(location[-1]), known_keys.get(parent, ()), n=1)
            message = f"unknown key '{path}'" + (f"; did you mean '{close[0]}'?" if close else "")
        elif problem["type"] == "missing":
            message = f"the key '{path}' is missing"
        elif problem["type"] == "value_error":
            message = f"{path or 'the file'}: {problem['ctx']['error']}"
        else:
            got = f", not {value}" if len(value) <= _LONGEST_VALUE else ""
            message = f"{path or 'the file'}: {problem['msg']}{got}"
        lines.append(f"{file}: {message}")
    return lines


def _path(location: tuple[int | str, ...]) -> str:
    """``("clocks", 0, "mhz")`` → ``clocks[0].mhz``."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return "".join(parts).removeprefix(".")
