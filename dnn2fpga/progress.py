"""How a long step tells how far it is."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]  # what is being done, done so far, of how many


def silent(what: str, done: int, of: int) -> None:
    """Tell nobody."""
