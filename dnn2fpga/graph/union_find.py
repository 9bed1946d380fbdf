"""Union-find: the groups that follow from pairs that belong together."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class UnionFind(Generic[K]):
    """Disjoint sets (Galler and Fischer 1964, with path halving); a thing of which nothing was said is alone."""

    def __init__(self) -> None:
        self._parent: dict[K, K] = {}

    def find(self, key: K) -> K:
        """Return the representative of a key's set, which is the same for all of the set."""
        parent = self._parent
        parent.setdefault(key, key)
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    def union(self, one: K, other: K) -> None:
        """Unite the sets of two keys."""
        self._parent[self.find(one)] = self.find(other)

    def sets(self) -> dict[K, list[K]]:
        """Return all sets by the key that ``find`` returns; keys in the order in which they were first named."""
        found: dict[K, list[K]] = {}
        for key in self._parent:
            found.setdefault(self.find(key), []).append(key)
        return found
