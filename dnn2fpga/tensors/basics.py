"""Shapes, ranges, and the refusal of what is not supported."""

from __future__ import annotations

from dataclasses import dataclass

Shape = tuple[int, ...]  # without the batch dimension


class Unsupported(Exception):
    """A layer (or one of its options) that the tool cannot build; the message says which option and why."""


@dataclass(frozen=True)
class Interval:
    """The smallest and largest real value of a tensor."""

    low: float
    high: float
