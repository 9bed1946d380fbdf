"""Cycle-exact timing models of the handshakes: when does each beat pass, without simulating a single data bit.

A model follows the same rules as the component's control logic. ``rtl_lib.core.trace`` runs a network of them; the
simulation of the Verilog must show exactly the same cycles.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod

Flags = tuple[bool, ...]


class NetworkPart(ABC):
    """What a network of timing models sees of one: any number of input and output streams.

    The valid of an output depends on state only; the ready of an input may depend on the outputs' readys and, where
    inputs are joined, on their valids.
    """

    inputs = 1
    outputs = 1

    @abstractmethod
    def valids(self) -> Flags:
        """Which outputs offer a beat in this cycle."""

    @abstractmethod
    def readys(self, input_valids: Flags, output_readys: Flags) -> Flags:
        """From which inputs a beat would be taken in this cycle."""

    @abstractmethod
    def advance(self, input_valids: Flags, output_readys: Flags) -> None:
        """The rising clock edge that ends this cycle."""

    @abstractmethod
    def rests(self, input_valids: Flags, output_readys: Flags) -> float:
        """For how many cycles, this one included and as long as its neighbours stay as they are in it, the model takes
        and gives nothing, its valids and readys stay the same, and so does its state, but for what ``leap`` moves on.
        0 is always true, but a model that waits for its neighbours must say so: for ever.
        """

    def leap(self, cycles: int) -> None:  # noqa: B027 - most models have nothing that moves on at rest
        """So many cycles of the rest of which ``rests`` was asked last have passed."""

    def least(self) -> NetworkPart:
        """A fresh part that accepts and offers at rest what this one does at the least, whatever came when: of what
        has passed, only the numbers of beats count (``rtl_lib.core.liveness``). Most parts are like that themselves.
        """
        return copy.deepcopy(self)

    def missing(self, input_valids: Flags) -> tuple[int, ...]:
        """For a report of a deadlock: the inputs without which others that are there cannot be taken."""
        return ()

    def full(self) -> bool:
        """For a report of a deadlock: whether a longer queue in its place could take more."""
        return False


class BeatModel(NetworkPart):
    """One input, one output. ``valid`` depends on state only; ``ready`` may depend on the output's ready."""

    @abstractmethod
    def valid(self) -> bool:
        """Whether an output beat is offered in this cycle."""

    @abstractmethod
    def ready(self, output_ready: bool) -> bool:
        """Whether an input beat would be taken in this cycle."""

    @abstractmethod
    def tick(self, input_valid: bool, output_ready: bool) -> None:
        """The rising clock edge that ends this cycle."""

    @abstractmethod
    def resting(self, input_valid: bool, output_ready: bool) -> float:
        """``rests``."""

    def valids(self) -> Flags:
        return (self.valid(),)

    def readys(self, input_valids: Flags, output_readys: Flags) -> Flags:
        return (self.ready(output_readys[0]),)

    def advance(self, input_valids: Flags, output_readys: Flags) -> None:
        self.tick(input_valids[0], output_readys[0])

    def rests(self, input_valids: Flags, output_readys: Flags) -> float:
        return self.resting(input_valids[0], output_readys[0])


class JoinModel(NetworkPart):
    """Several inputs, one output."""

    @abstractmethod
    def valid(self) -> bool:
        """Whether an output beat is offered in this cycle."""

    @abstractmethod
    def ready(self, input_valids: Flags, output_ready: bool) -> Flags:
        """From which inputs a beat would be taken in this cycle."""

    @abstractmethod
    def tick(self, input_valids: Flags, output_ready: bool) -> None:
        """The rising clock edge that ends this cycle."""

    @abstractmethod
    def resting(self, input_valids: Flags, output_ready: bool) -> float:
        """``rests``."""

    def valids(self) -> Flags:
        return (self.valid(),)

    def readys(self, input_valids: Flags, output_readys: Flags) -> Flags:
        return self.ready(input_valids, output_readys[0])

    def advance(self, input_valids: Flags, output_readys: Flags) -> None:
        self.tick(input_valids, output_readys[0])

    def rests(self, input_valids: Flags, output_readys: Flags) -> float:
        return self.resting(input_valids, output_readys[0])


class ForkModel(NetworkPart):
    """One input, several outputs."""

    @abstractmethod
    def valid(self) -> Flags:
        """Which outputs offer a beat in this cycle."""

    @abstractmethod
    def ready(self, output_readys: Flags) -> bool:
        """Whether an input beat would be taken in this cycle."""

    @abstractmethod
    def tick(self, input_valid: bool, output_readys: Flags) -> None:
        """The rising clock edge that ends this cycle."""

    @abstractmethod
    def resting(self, input_valid: bool, output_readys: Flags) -> float:
        """``rests``."""

    def valids(self) -> Flags:
        return self.valid()

    def readys(self, input_valids: Flags, output_readys: Flags) -> Flags:
        return (self.ready(output_readys),)

    def advance(self, input_valids: Flags, output_readys: Flags) -> None:
        self.tick(input_valids[0], output_readys)

    def rests(self, input_valids: Flags, output_readys: Flags) -> float:
        return self.resting(input_valids[0], output_readys)


class StageModel(BeatModel):
    """``MasterSlaveStage``."""

    def __init__(self) -> None:
        self.slave = self.master = False

    def valid(self) -> bool:
        return self.slave

    def ready(self, output_ready: bool) -> bool:
        return not self.master

    def tick(self, input_valid: bool, output_ready: bool) -> None:
        if output_ready or not self.slave:
            self.slave = self.master or input_valid
            self.master = False
        elif input_valid:
            self.master = True

    def resting(self, input_valid: bool, output_ready: bool) -> float:
        full = self.slave and not output_ready and (self.master or not input_valid)
        return math.inf if full or not (self.slave or input_valid) else 0


class PipelineModel(BeatModel):
    """A pipeline of ``latency`` registers that move together whenever the last one is empty or taken."""

    def __init__(self, latency: int) -> None:
        self.latency = latency
        self.occupied = 0
        self.last = 1 << (latency - 1)
        self.mask = 2 * self.last - 1

    def valid(self) -> bool:
        return bool(self.occupied & self.last)

    def ready(self, output_ready: bool) -> bool:
        return output_ready or not self.occupied & self.last

    def tick(self, input_valid: bool, output_ready: bool) -> None:
        if self.ready(output_ready):
            self.occupied = (self.occupied << 1 | input_valid) & self.mask

    def resting(self, input_valid: bool, output_ready: bool) -> float:
        if self.occupied & self.last:
            return 0 if output_ready else math.inf
        if input_valid:
            return 0
        return self.latency - self.occupied.bit_length() if self.occupied else math.inf

    def leap(self, cycles: int) -> None:
        if not self.occupied & self.last:
            self.occupied <<= cycles

    def least(self) -> PipelineModel:
        return PipelineModel(1)  # a beat that comes when the one before waits at the output finds no way in


class FilterModel(BeatModel):
    """A pipeline that takes what comes, and gives a beat for some of it."""

    def __init__(self, latency: int) -> None:
        self.pipeline = PipelineModel(latency)

    @abstractmethod
    def gives(self) -> bool:
        """Whether there is an output beat for the input beat that is taken now; moves on."""

    def valid(self) -> bool:
        return self.pipeline.valid()

    def ready(self, output_ready: bool) -> bool:
        return self.pipeline.ready(output_ready)

    def tick(self, input_valid: bool, output_ready: bool) -> None:
        taken = input_valid and self.ready(output_ready)
        self.pipeline.tick(taken and self.gives(), output_ready)

    def resting(self, input_valid: bool, output_ready: bool) -> float:
        return self.pipeline.resting(input_valid, output_ready)

    def leap(self, cycles: int) -> None:
        self.pipeline.leap(cycles)

    def least(self) -> NetworkPart:
        least = copy.deepcopy(self)
        least.pipeline = self.pipeline.least()
        return least


class ReduceModel(FilterModel):
    """One beat for every ``beats``."""

    def __init__(self, latency: int, beats: int) -> None:
        super().__init__(latency)
        self.beats = beats
        self.count = 0

    def gives(self) -> bool:
        self.count = (self.count + 1) % self.beats
        return self.count == 0
