"""Timing models where streams part and meet: the fork between layers, and the joins.

A join consumes beats of its inputs in the same cycle, so each input is ready only while the others it is taken with
are valid. All of them end in an ordinary pipeline.
"""

from __future__ import annotations

import copy
import math
from abc import abstractmethod
from collections.abc import Sequence

from rtl_lib.core.timing import Flags, ForkModel, JoinModel, NetworkPart, PipelineModel


class ForkStageModel(ForkModel):
    """``ForkStage``: the slave of a master-slave stage stays until each of ``readers`` has taken it."""

    def __init__(self, readers: int) -> None:
        self.outputs = readers
        self.slave = self.master = False
        self.nobody = (False,) * readers
        self.taken = self.nobody  # by which readers, of the beat in the slave

    def valid(self) -> Flags:
        return tuple([not taken for taken in self.taken]) if self.slave else self.nobody

    def ready(self, output_readys: Flags) -> bool:
        return not self.master

    def tick(self, input_valid: bool, output_readys: Flags) -> None:
        taken = tuple([a or b for a, b in zip(self.taken, output_readys, strict=True)])
        if self.slave and False in taken:
            self.taken = taken
            self.master = self.master or input_valid
            return
        self.slave = self.master or input_valid
        self.master = False
        self.taken = self.nobody

    def resting(self, input_valid: bool, output_readys: Flags) -> float:
        if not self.slave:
            return 0 if input_valid else math.inf
        passes = any(ready and not taken for taken, ready in zip(self.taken, output_readys, strict=True))
        return 0 if passes or (input_valid and not self.master) else math.inf


class _IntoPipeline(JoinModel):
    """A join into a pipeline of ``latency`` registers: each rule says which inputs are taken together."""

    def __init__(self, latency: int, inputs: int) -> None:
        self.inputs = inputs
        self.pipeline = PipelineModel(latency)
        self.nothing = (False,) * inputs

    @abstractmethod
    def _complete(self, input_valids: Flags) -> bool:
        """Whether all inputs are there that the next beat needs."""

    @abstractmethod
    def _consumed(self) -> Flags:
        """The inputs that are taken with it."""

    def _fired(self) -> None:
        """A beat has entered the pipeline."""

    def valid(self) -> bool:
        return self.pipeline.valid()

    def ready(self, input_valids: Flags, output_ready: bool) -> Flags:
        fires = self._complete(input_valids) and self.pipeline.ready(output_ready)
        return self._consumed() if fires else self.nothing

    def tick(self, input_valids: Flags, output_ready: bool) -> None:
        fires = self._complete(input_valids) and self.pipeline.ready(output_ready)
        self.pipeline.tick(fires, output_ready)
        if fires:
            self._fired()

    def resting(self, input_valids: Flags, output_ready: bool) -> float:
        return self.pipeline.resting(self._complete(input_valids), output_ready)

    def leap(self, cycles: int) -> None:
        self.pipeline.leap(cycles)

    def least(self) -> NetworkPart:
        least = copy.deepcopy(self)
        least.pipeline = self.pipeline.least()
        return least

    def missing(self, input_valids: Flags) -> tuple[int, ...]:
        if not any(input_valids) or self._complete(input_valids):
            return ()
        return tuple(k for k, valid in enumerate(input_valids) if not valid and k in self._needed())

    def _needed(self) -> Sequence[int]:
        """The inputs that the next beat needs."""
        return range(self.inputs)


class JoinPipelineModel(_IntoPipeline):
    """One beat of every input in the same cycle: sum, product, extremum, concatenated channels."""

    def __init__(self, latency: int, inputs: int) -> None:
        super().__init__(latency, inputs)
        self.all = (True,) * inputs

    def _complete(self, input_valids: Flags) -> bool:
        return False not in input_valids

    def _consumed(self) -> Flags:
        return self.all


class GatedJoinModel(_IntoPipeline):
    """Every beat of one input meets the same beat of the other, the gate, which is taken with the last of ``beats``.

    :param gate: which of the two inputs is the gate.
    """

    def __init__(self, latency: int, beats: int, gate: int = 1) -> None:
        super().__init__(latency, 2)
        self.beats = beats
        self.count = 0
        self.before_last = gate == 1, gate == 0

    def _complete(self, input_valids: Flags) -> bool:
        return False not in input_valids

    def _consumed(self) -> Flags:
        return (True, True) if self.count == self.beats - 1 else self.before_last

    def _fired(self) -> None:
        self.count = (self.count + 1) % self.beats


class SequencerModel(_IntoPipeline):
    """``beats[k]`` beats of input k in turn: concatenated rows or beats.

    :param beats: in every input's turn.
    """

    def __init__(self, latency: int, beats: Sequence[int]) -> None:
        super().__init__(latency, len(beats))
        self.beats = tuple(beats)
        self.turns = [tuple(k == turn for k in range(len(beats))) for turn in range(len(beats))]
        self.turn = self.count = 0

    def _complete(self, input_valids: Flags) -> bool:
        return input_valids[self.turn]

    def _consumed(self) -> Flags:
        return self.turns[self.turn]

    def _needed(self) -> Sequence[int]:
        return (self.turn,)

    def _fired(self) -> None:
        self.count += 1
        if self.count == self.beats[self.turn]:
            self.count = 0
            self.turn = (self.turn + 1) % len(self.beats)
