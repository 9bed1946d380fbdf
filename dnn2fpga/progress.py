"""The progress protocol of long steps."""

from typing import Protocol


class Progress(Protocol):
    """The signature of a progress callback, which every long step accepts.

    It is called with ``done`` 0 when an activity begins, now and then while it lasts, and with ``done`` equal to ``of``
    when it has ended. One step may have several activities, one after the other.
    """

    def __call__(self, what: str, done: int, of: int, news: str = "", /) -> None:
        """Take note.

        :param what: the activity, in a few words; it always has the same ones.
        :param done: how much of it is done, of ``of``.
        :param news: what a tool says meanwhile, where one says something; given only when there is some.
        """


def silent(what: str, done: int, of: int, news: str = "") -> None:
    """Tell nobody."""
