"""The one exception that is meant for the person who runs the tool."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class UserError(Exception):
    """Something the user can put right: shown line by line without a traceback, exit code 2.

    ``problems`` holds one message a line; ``str()`` joins them.
    """

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems: tuple[str, ...] = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))


@contextmanager
def damage_reported(what: str, *ours: type[Exception]) -> Iterator[None]:
    """Turn whatever a file format's library raises into a ``UserError`` that begins with ``what``.

    For calls into libraries that parse bytes of a stranger, and for nothing else: on a damaged file they raise
    whatever they stumble over, from ``KeyError`` to ``SystemError``.

    :param ours: exceptions that pass as they are, beside ``UserError``.
    """
    passing: tuple[type[Exception], ...] = (UserError, *ours)
    try:
        yield
    except passing:
        raise
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"{what} ({reason[:200]})") from error
