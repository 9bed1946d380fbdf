"""Changes of a tree of lists, mappings and values at any of its positions, whatever it means."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from random import Random
from typing import Any

Position = tuple[str | int, ...]
MARK = "@@here@@"  # stands in a tree where a text is put that no tree can hold

OTHER_TYPES: list[Any] = [
    None, True, False, 0, -1, 3, 1.5, "", "relu", "é\u4e2d\U0001f600", [], [1], [[]], [None], {}, {"a": 1},
    [{"name": "x"}], {"class_name": "Dense", "config": {}}, {"class_name": 3}, ["a", "b"], [1, "b", None], {"": None},
]  # fmt: skip
NUMBERS: list[Any] = [
    0, -1, 1, 2, 65_537, 100_000_000, 2**31, 2**63, -(2**63), 2**64, 10**30, 0.1, -0.5, 1e-300, 1e22, 1e308,
    float("nan"), float("inf"), float("-inf"),
]  # fmt: skip
NAMES = [
    "", " ", "a b", "a/b", "../../x", "/etc/passwd", ".", "..", "-o", "é", "层", "\U0001f600", "ＡＢ", "a\nb", "a\tb",
    "\u202eabc", "\x1b[2J", "\x00", "\x7f", "\ufeff", "\ud800", "module", "input", "endmodule", "output", "clk", "reg",
    "con", "a'b", 'a"b', "a{b}", "%s%n", "{0.__class__}", "[bold]x[/bold]", "a\\b", "x" * 300, "x" * 100_000, "1abc",
    "a-b", "A", "__init__", "a:0",
]  # fmt: skip
LITERALS = ["1e999", "-1e999", "9" * 5000, "0." + "1" * 5000, "NaN", "Infinity", "-Infinity", "-0", "0e0"]


def positions(tree: Any, here: Position = ()) -> Iterator[Position]:
    """Every position, containers too, the root first."""
    yield here
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from positions(value, (*here, key))
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield from positions(value, (*here, index))


def value_at(tree: Any, position: Position) -> Any:
    for step in position:
        tree = tree[step]
    return tree


def replaced(tree: Any, position: Position, value: Any) -> Any:
    """A copy of the tree with another value at one position."""
    if not position:
        return value
    tree = copy.deepcopy(tree)
    value_at(tree, position[:-1])[position[-1]] = value
    return tree


def removed(tree: Any, position: Position) -> Any:
    tree = copy.deepcopy(tree)
    del value_at(tree, position[:-1])[position[-1]]
    return tree


def other_type(tree: Any, random: Random) -> Any:
    position = random.choice(list(positions(tree)))
    old = type(value_at(tree, position))
    return replaced(tree, position, random.choice([v for v in OTHER_TYPES if type(v) is not old]))


def other_value(tree: Any, random: Random) -> Any:
    """A number or a text replaced by another of its type, which may mean something."""
    leaves = [p for p in positions(tree) if isinstance(value_at(tree, p), bool | int | float | str)]
    position = random.choice(leaves)
    old = value_at(tree, position)
    if isinstance(old, bool):
        return replaced(tree, position, not old)
    if isinstance(old, str):
        texts = [value_at(tree, p) for p in leaves if isinstance(value_at(tree, p), str)]
        return replaced(tree, position, random.choice([*texts, old.upper(), old + "_", old[:-1]]))
    return replaced(tree, position, random.choice([*NUMBERS, old + 1, old - 1, old * 2, -old]))


def missing(tree: Any, random: Random) -> Any:
    return removed(tree, random.choice(list(positions(tree))[1:]))


def added(tree: Any, random: Random) -> Any:
    """A key that nobody knows, or one more item in a list."""
    containers = [p for p in positions(tree) if isinstance(value_at(tree, p), list | dict)]
    position = random.choice(containers)
    container = copy.deepcopy(value_at(tree, position))
    value = random.choice(OTHER_TYPES)
    if isinstance(container, list):
        container.insert(random.randint(0, len(container)), random.choice([value, *container]))
    else:
        container[random.choice(["extra", "", "name", "class_name", "config", "x" * 1000, *container])] = value
    return replaced(tree, position, container)


def moved(tree: Any, random: Random) -> Any:
    """The value of one position at another."""
    everywhere = list(positions(tree))
    source, target = random.choice(everywhere), random.choice(everywhere[1:])
    return replaced(tree, target, copy.deepcopy(value_at(tree, source)))


def nested(random: Random, opening: str = "", closing: str = "") -> str:
    """Text nested deeper than a reader should follow."""
    opening, closing = (opening, closing) if opening else random.choice([("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
    depth = random.choice([50, 500, 3_000, 100_000])
    return opening * depth + "1" + closing * depth
