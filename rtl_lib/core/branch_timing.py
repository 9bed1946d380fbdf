"""Timing models where streams part and meet: the fork between layers, and the joins.

A join consumes beats of its inputs in the same cycle, so each input is ready only while the others it is taken with
are valid. All of them end in an ordinary pipeline.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

from rtl_lib.core.rules import FOREVER, State, helper, line, line_moves, line_ready, line_valid
from rtl_lib.core.timing import Flags, ForkModel, JoinModel, NetworkPart

SLAVE, MASTER, TAKEN, ALL = range(4)


class ForkStageModel(ForkModel):
    """``ForkStage``: the slave of a master-slave stage stays until each of ``readers`` has taken it."""

    def __init__(self, readers: int) -> None:
        self.outputs = readers
        self.state = [0, 0, 0, (1 << readers) - 1]  # TAKEN: by which readers, of the beat in the slave

    @staticmethod
    def offers(s: State) -> int:
        return s[ALL] & ~s[TAKEN] if s[SLAVE] else 0

    @staticmethod
    def accepts(s: State, valids: int, readys: int) -> int:
        return 1 - s[MASTER]

    @staticmethod
    def moves(s: State, valids: int, readys: int, cycles: int) -> int:
        taken = s[TAKEN] | readys
        if s[SLAVE] and taken != s[ALL]:
            s[TAKEN] = taken
            s[MASTER] |= valids
        else:
            s[SLAVE] = s[MASTER] | valids
            s[MASTER] = s[TAKEN] = 0
        return FOREVER


# The inputs that must be there for the next beat, those of them that are taken with it, and where the line begins.
WANTED, CONSUMED, LINE = range(3)


@helper
def join_fires(s: State, valids: int, readys: int) -> int:
    return line_ready(s, s[LINE], readys) if valids & s[WANTED] == s[WANTED] else 0


class _IntoPipeline(JoinModel):
    """A join into a pipeline of ``latency`` registers: each rule says which inputs are taken together.

    :param own: what the rule adds to the state.
    """

    def __init__(self, latency: int, inputs: int, wanted: int, consumed: int, own: Sequence[int] = ()) -> None:
        self.inputs = inputs
        self.state = [wanted, consumed, LINE + 1 + len(own), *own, *line(latency)]

    @staticmethod
    def offers(s: State) -> int:
        return line_valid(s, s[LINE])

    @staticmethod
    def accepts(s: State, valids: int, readys: int) -> int:
        return s[CONSUMED] if join_fires(s, valids, readys) else 0

    def least(self) -> NetworkPart:
        least = copy.deepcopy(self)
        least.state[self.state[LINE] :] = line(1)
        return least

    def missing(self, input_valids: Flags) -> tuple[int, ...]:
        lacking = [k for k, valid in enumerate(input_valids) if self.state[WANTED] >> k & 1 and not valid]
        return tuple(lacking) if any(input_valids) else ()


class JoinPipelineModel(_IntoPipeline):
    """One beat of every input in the same cycle: sum, product, extremum, concatenated channels."""

    def __init__(self, latency: int, inputs: int) -> None:
        every = (1 << inputs) - 1
        super().__init__(latency, inputs, every, every)

    @staticmethod
    def moves(s: State, valids: int, readys: int, cycles: int) -> int:
        return line_moves(s, s[LINE], join_fires(s, valids, readys), readys, cycles)


GATE, COUNT, BEATS = range(LINE + 1, LINE + 4)


class GatedJoinModel(_IntoPipeline):
    """Every beat of one input meets the same beat of the other, the gate, which is taken with the last of ``beats``.

    :param gate: which of the two inputs is the gate.
    """

    def __init__(self, latency: int, beats: int, gate: int = 1) -> None:
        super().__init__(latency, 2, 3, 3 if beats == 1 else 3 - (1 << gate), [1 << gate, 0, beats])

    @staticmethod
    def moves(s: State, valids: int, readys: int, cycles: int) -> int:
        fires = join_fires(s, valids, readys)
        if fires:
            s[COUNT] = (s[COUNT] + 1) % s[BEATS]
            s[CONSUMED] = 3 if s[COUNT] == s[BEATS] - 1 else 3 - s[GATE]
        return line_moves(s, s[LINE], fires, readys, cycles)


TURN, LEFT, TURNS, BEATS_OF = range(LINE + 1, LINE + 5)


class SequencerModel(_IntoPipeline):
    """``beats[k]`` beats of input k in turn: concatenated rows or beats.

    :param beats: in every input's turn.
    """

    def __init__(self, latency: int, beats: Sequence[int]) -> None:
        super().__init__(latency, len(beats), 1, 1, [0, beats[0], len(beats), *beats])

    @staticmethod
    def moves(s: State, valids: int, readys: int, cycles: int) -> int:
        fires = join_fires(s, valids, readys)
        if fires:
            s[LEFT] -= 1
            if s[LEFT] == 0:
                s[TURN] = (s[TURN] + 1) % s[TURNS]
                s[LEFT] = s[BEATS_OF + s[TURN]]
                s[WANTED] = s[CONSUMED] = 1 << s[TURN]
        return line_moves(s, s[LINE], fires, readys, cycles)
