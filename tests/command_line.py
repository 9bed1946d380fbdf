"""What a run of the command line left (conftest.py has the fixture that makes it)."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str
