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
        return tuple(not taken for taken in self.taken) if self.slave else self.nobody

    def ready(self, output_readys: Flags) -> bool:
        return not self.master

    def _leaves(self, output_readys: Flags) -> bool:
        return all(taken or ready for taken, ready in zip(self.taken, output_readys, strict=True))

    def tick(self, input_valid: bool, output_readys: Flags) -> None:
        if not self.slave or self._leaves(output_readys):
            self.slave = self.master or input_valid
            self.master = False
            self.taken = self.nobody
            return
        self.taken = tuple(taken or ready for taken, ready in zip(self.taken, output_readys, strict=True))
        self.master = self.master or input_valid

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
    def _wanted(self) -> Flags:
        """The inputs that must be there for the next beat."""

    def _consumed(self) -> Flags:
        """Those of them that are taken with it."""
        return self._wanted()

    def _fired(self) -> None:
        """A beat has entered the pipeline."""

    def _fires(self, input_valids: Flags, output_ready: bool) -> bool:
        return self.pipeline.ready(output_ready) and not self._lacks(input_valids)

    def _lacks(self, input_valids: Flags) -> bool:
        return any(wanted and not valid for wanted, valid in zip(self._wanted(), input_valids, strict=True))

    def valid(self) -> bool:
        return self.pipeline.valid()

    def ready(self, input_valids: Flags, output_ready: bool) -> Flags:
        return self._consumed() if self._fires(input_valids, output_ready) else self.nothing

    def tick(self, input_valids: Flags, output_ready: bool) -> None:
        fires = self._fires(input_valids, output_ready)
        self.pipeline.tick(fires, output_ready)
        if fires:
            self._fired()

    def resting(self, input_valids: Flags, output_ready: bool) -> float:
        return self.pipeline.resting(not self._lacks(input_valids), output_ready)

    def leap(self, cycles: int) -> None:
        self.pipeline.leap(cycles)

    def least(self) -> NetworkPart:
        least = copy.deepcopy(self)
        least.pipeline = self.pipeline.least()
        return least

    def missing(self, input_valids: Flags) -> tuple[int, ...]:
        pairs = zip(self._wanted(), input_valids, strict=True)
        lacking = tuple(k for k, (wanted, valid) in enumerate(pairs) if wanted and not valid)
        return lacking if any(input_valids) else ()


class JoinPipelineModel(_IntoPipeline):
    """One beat of every input in the same cycle: sum, product, extremum, concatenated channels."""

    def __init__(self, latency: int, inputs: int) -> None:
        super().__init__(latency, inputs)
        self.all = (True,) * inputs

    def _wanted(self) -> Flags:
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

    def _wanted(self) -> Flags:
        return True, True

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

    def _wanted(self) -> Flags:
        return self.turns[self.turn]

    def _fired(self) -> None:
        self.count += 1
        if self.count == self.beats[self.turn]:
            self.count = 0
            self.turn = (self.turn + 1) % len(self.beats)
