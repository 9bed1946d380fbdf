"""The interface of a file of arrays, whatever format it has."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from dnn2fpga.tensors.basics import Shape


class ArrayFile(Protocol):
    """Groups inside each other, with arrays in them."""

    def members(self, *path: str) -> list[str] | None:
        """Names in a group; None where there is no such group."""

    def texts(self, attribute: str, *path: str) -> list[str] | None:
        """An attribute of a group that holds one text or several; None where there is none."""

    def array(self, shape: Shape, *path: str) -> np.ndarray:
        """The array at ``path``, which must have ``shape``.

        :raises Unsupported: when there is none, or one of another shape or kind.
        """
