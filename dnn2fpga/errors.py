"""The one exception that is meant for the person who runs the tool."""

from collections.abc import Sequence


class UserError(Exception):
    """Something the user can put right: shown line by line without a traceback, exit code 2.

    ``problems`` holds one message a line; ``str()`` joins them.
    """

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems: tuple[str, ...] = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))
