"""The rules of timing models as machine code (numba), which is cached on disk after the first compilation.

It is imported where something is traced, and only there, as numba takes half a second to import.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from functools import cache
from types import FunctionType
from typing import Any, cast

from numba import cfunc, njit, types
from numba.core import event

from rtl_lib.core.rules import helpers
from rtl_lib.core.timing import NetworkPart

WORD = types.int64
POINTER = types.CPointer(WORD)
log = logging.getLogger(__name__)


class _Told(event.Listener):
    """Says once that the user must wait, when something is compiled that no file holds yet."""

    told = False

    def on_start(self, event: event.Event) -> None:
        if not self.told:
            log.warning("compiling the timing models, once: some seconds")
        self.told = True

    def on_end(self, event: event.Event) -> None:
        """Ignore the end of a compilation."""


event.register("numba:compile", _Told())


def addresses(part: type[NetworkPart]) -> tuple[int, int, int]:
    """Return the addresses of the machine code of ``offers``, ``accepts`` and ``moves``."""
    return _address(part.offers, 0), _address(part.accepts, 2), _address(part.moves, 3)


@cache
def _address(rule: Callable[..., int], given: int) -> int:
    signature = WORD(POINTER, *[WORD] * given)
    compiled = kept(lambda function, cache: cfunc(signature, cache=cache)(function), _linked(rule))
    return int(compiled.address)


@cache
def _helper(rule: Callable[..., int]) -> Any:
    return kept(lambda function, cache: njit(cache=cache)(function), _linked(rule))


def kept(compile: Callable[..., Any], function: Callable[..., Any]) -> Any:
    """Compile a function and cache the result beside its source or, if nothing can be written there, in the user's
    cache.
    """
    try:
        return compile(function, cache=True)
    except RuntimeError:  # no place can be written to
        return compile(function, cache=False)


def _linked(rule: Callable[..., int]) -> FunctionType:
    """The same function, that calls compiled helpers. Its name tells what it is made of: numba looks at a function's
    own file only, to see whether what it has kept is still right.
    """
    rule = cast(FunctionType, rule)  # every rule is a plain function
    replaced = {name: _helper(called) for name, called in _called(rule).items()}
    linked = FunctionType(rule.__code__, {**rule.__globals__, **replaced}, rule.__name__)
    linked.__qualname__ = f"{rule.__qualname__}_{_digest(rule)}"
    return linked


def _called(rule: FunctionType) -> dict[str, FunctionType]:
    """The helpers that it calls, by their names."""
    seen = {name: rule.__globals__.get(name) for name in rule.__code__.co_names}
    return {name: one for name, one in seen.items() if isinstance(one, FunctionType) and one in helpers}


def _digest(rule: FunctionType) -> str:
    code = rule.__code__
    constants = [value for name in code.co_names if isinstance(value := rule.__globals__.get(name), int)]
    called = [_digest(one) for one in _called(rule).values()]
    return hashlib.sha256(repr((code.co_code, code.co_consts, code.co_names, constants, called)).encode()).hexdigest()[
        :12
    ]
