"""Cycle-exact timing models of the handshakes: when does each beat pass, without simulating a single data bit.

A model follows the same rules as the component's control logic. ``rtl_lib.core.trace`` runs a network of them; the
simulation of the Verilog must show exactly the same cycles.

The rules of a model are three functions of its state, a row of integers. A trace compiles them
(``rtl_lib.core.machine_code``), so they use integers and nothing else, and call nothing but helpers
(``rtl_lib.core.rules``).
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterable

from rtl_lib.core.rules import FOREVER, State, line, line_moves, line_ready, line_valid

Flags = tuple[bool, ...]


class NetworkPart(ABC):
    """One timing model, as a network of them sees it: any number of input and output streams.

    Streams are bits of an integer, bit 0 for the first one. The valid of an output depends on the state only; the ready
    of an input may depend on the outputs' readys and, where inputs are joined, on their valids.

    :ivar state: the row of integers.
    """

    inputs = 1
    outputs = 1
    state: list[int]

    @staticmethod
    @abstractmethod
    def offers(s: State) -> int:
        """Return which outputs offer a beat in this cycle."""

    @staticmethod
    @abstractmethod
    def accepts(s: State, valids: int, readys: int) -> int:
        """Return from which inputs a beat would be accepted in this cycle."""

    @staticmethod
    @abstractmethod
    def moves(s: State, valids: int, readys: int, cycles: int) -> int:
        """Apply the rising clock edge that ends this cycle.

        :param valids: of the inputs; ``readys``: of the outputs.
        :param cycles: the number of them that pass at once, at most the number that was returned last.
        :returns: while no beat passes and the neighbours stay as they are: for how many cycles more ``accepts`` says
            the same, and ``offers`` for one more than that. 0 is always true, but a model that waits for its
            neighbours must say so: ``FOREVER``.
        """

    def valids(self) -> Flags:
        """``offers``, by output."""
        return _flags(self.offers(self.state), self.outputs)

    def readys(self, input_valids: Flags, output_readys: Flags) -> Flags:
        """``accepts``, by input."""
        return _flags(self.accepts(self.state, _bits(input_valids), _bits(output_readys)), self.inputs)

    def advance(self, input_valids: Flags, output_readys: Flags, cycles: int = 1) -> int:
        """``moves``."""
        return self.moves(self.state, _bits(input_valids), _bits(output_readys), cycles)

    def least(self) -> NetworkPart:
        """A fresh part that accepts and offers at rest what this one does at the least, whatever came when: of what
        has passed, only the numbers of beats count (``rtl_lib.core.liveness``). Most parts are like that themselves.
        """
        return copy.deepcopy(self)

    def followed_by(self, other: NetworkPart) -> BeatModel | None:
        """One fresh model that does what this part and the one that reads its only output do, cycle by cycle, and is
        faster to trace; None where there is none.
        """
        return None

    def missing(self, input_valids: Flags) -> tuple[int, ...]:
        """Return for a report of a deadlock the inputs without which others that are there cannot be consumed."""
        return ()

    def full(self) -> bool:
        """Return for a report of a deadlock whether a longer queue in its place could accept more."""
        return False


def _bits(flags: Flags) -> int:
    return sum(1 << k for k, flag in enumerate(flags) if flag)


def _flags(bits: int, count: int) -> Flags:
    return tuple(bool(bits >> k & 1) for k in range(count))


class BeatModel(NetworkPart):
    """One input, one output. ``ready`` depends on the output's ready at most."""

    def valid(self) -> bool:
        """True if an output beat is offered in this cycle."""
        return bool(self.offers(self.state))

    def ready(self, output_ready: bool) -> bool:
        """Return whether an input beat would be accepted in this cycle."""
        return bool(self.accepts(self.state, 0, int(output_ready)))

    def tick(self, input_valid: bool, output_ready: bool, cycles: int = 1) -> int:
        """``moves``."""
        return self.moves(self.state, int(input_valid), int(output_ready), cycles)


class JoinModel(NetworkPart):
    """Several inputs, one output."""


class ForkModel(NetworkPart):
    """One input, several outputs."""


def in_a_row(models: Iterable[BeatModel | JoinModel]) -> list[BeatModel | JoinModel]:
    """Fresh models in stream order that do what these do, some of them as one (``NetworkPart.followed_by``)."""
    found: list[BeatModel | JoinModel] = []
    for model in models:
        joined = found[-1].followed_by(model) if found else None
        found = [*found[:-1], joined] if joined else [*found, model]
    return found


SLAVE, MASTER = range(2)


class StageModel(BeatModel):
    """``MasterSlaveStage``."""

    def __init__(self) -> None:
        self.state = [0, 0]

    @staticmethod
    def offers(s: State) -> int:
        return s[SLAVE]

    @staticmethod
    def accepts(s: State, valids: int, readys: int) -> int:
        return 1 - s[MASTER]

    @staticmethod
    def moves(s: State, valids: int, readys: int, cycles: int) -> int:
        if readys or not s[SLAVE]:
            s[SLAVE] = s[MASTER] | valids
            s[MASTER] = 0
        elif valids:
            s[MASTER] = 1
        return FOREVER


class PipelineModel(BeatModel):
    """A pipeline of ``latency`` registers that move together whenever the last one is empty or taken."""

    def __init__(self, latency: int) -> None:
        self.latency = latency
        self.state = line(latency)

    @staticmethod
    def offers(s: State) -> int:
        return line_valid(s, 0)

    @staticmethod
    def accepts(s: State, valids: int, readys: int) -> int:
        return line_ready(s, 0, readys)

    @staticmethod
    def moves(s: State, valids: int, readys: int, cycles: int) -> int:
        return line_moves(s, 0, valids, readys, cycles)

    def least(self) -> PipelineModel:
        return PipelineModel(1)  # a beat that comes when the one before waits at the output finds no way in


BEATS, COUNT, REDUCE_LINE = range(3)


class ReduceModel(BeatModel):
    """A pipeline that accepts every beat, and offers one for every ``beats``."""

    def __init__(self, latency: int, beats: int) -> None:
        self.state = [beats, 0, *line(latency)]

    @staticmethod
    def offers(s: State) -> int:
        return line_valid(s, REDUCE_LINE)

    @staticmethod
    def accepts(s: State, valids: int, readys: int) -> int:
        return line_ready(s, REDUCE_LINE, readys)

    @staticmethod
    def moves(s: State, valids: int, readys: int, cycles: int) -> int:
        enters = 0
        if valids and line_ready(s, REDUCE_LINE, readys):
            s[COUNT] += 1
            if s[COUNT] == s[BEATS]:
                s[COUNT] = 0
                enters = 1
        return line_moves(s, REDUCE_LINE, enters, readys, cycles)

    def least(self) -> ReduceModel:
        return ReduceModel(1, self.state[BEATS])
