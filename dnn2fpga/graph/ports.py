"""Several inputs or outputs by name; where there is only one, it needs no name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

V = TypeVar("V")
Values = Any  # an array of the only input, or a mapping from the name of each input to its array


def by_name(values: Values, names: Iterable[str]) -> dict[str, Any]:
    """Return arrays by name, in the order of ``names``.

    :param values: an array where there is only one name, or arrays by name.
    :raises ValueError: when the names are others.
    """
    names = list(names)
    given = values if isinstance(values, Mapping) else {names[0]: values}
    if set(given) != set(names):
        raise ValueError(f"arrays are needed for {', '.join(names)}, not for {', '.join(given)}")
    return {name: given[name] for name in names}


def or_named(values: dict[str, Any]) -> Any:
    """Return the only array of ``values``, or all arrays by name if there are several."""
    return next(iter(values.values())) if len(values) == 1 else values


def each(values: Values, change: Callable[[Any], Any]) -> Values:
    """Return the only array, or arrays by name, each changed.

    :param values: an array, or arrays by name.
    :param change: called with each array; returns the new one.
    """
    if isinstance(values, Mapping):
        return {name: change(value) for name, value in values.items()}
    return change(values)


def only_name(values: Mapping[str, Any], what: str) -> str:
    """Return the name of the only entry.

    :param what: the word for an entry in the message, in the singular.
    :raises ValueError: when there are several.
    """
    if len(values) != 1:
        raise ValueError(f"the network has several {what}s: {', '.join(values)}")
    return next(iter(values))


def only(values: Mapping[str, V], what: str) -> V:
    """Return the only entry.

    :param what: the word for an entry in the message, in the singular.
    :raises ValueError: when there are several.
    """
    return values[only_name(values, what)]
