"""The fork: a master-slave stage for a tensor with several readers, whose beat stays until each of them has accepted
it.
"""

from __future__ import annotations

from functools import reduce
from operator import and_

from amaranth.hdl import Module, Signal

from rtl_lib.core.branch_timing import ForkStageModel
from rtl_lib.core.features import Features, Kind
from rtl_lib.core.stream import Beat
from rtl_lib.streams.master_slave_stage import Stage


class ForkStage(Stage):
    """One input ``i``, an output ``o_0``, ``o_1`` … for each reader.

    Readers may accept a beat in different cycles; one bit per reader says that it has. ``i.ready`` and every ``valid``
    come from registers only, so no path leads from one reader to another, nor to the source. The beat leaves in the
    cycle in which the last reader accepts it, at one beat per cycle where all are ready. Latency one cycle::

        i.payload     A  B  C  .  .
        o_0.payload      A  .  B  C        taken at once; then not valid until B comes
        o_1.payload      A  A  B  C        (o_1.ready low in the first of A's cycles)
        taken            -  0  -  -

    :param readers: at least two; a single one has ``MasterSlaveStage``.
    """

    def __init__(self, beat: Beat, readers: int) -> None:
        if readers < 2:
            raise ValueError(f"a fork must have at least two readers, not {readers!r}")
        self.readers = readers
        super().__init__(beat, (beat,) * readers)

    def features(self) -> Features:
        bits = self.input_beat.layout.size
        return (
            Features()
            .add(Kind.REGISTER, 2 * bits + 2 + self.readers)
            .add(Kind.GATE, bits + 4 + 2 * self.readers)
            .add(Kind.HANDSHAKE, 1)
        )

    def beat_model(self) -> ForkStageModel:
        return ForkStageModel(self.readers)

    def offer(self, m: Module, full: Signal, free: Signal) -> None:
        taken = Signal(self.readers)
        # Per reader: it has accepted the beat, or accepts it now.
        served = [taken[k] | output.ready for k, output in enumerate(self.outputs)]
        m.d.comb += [output.valid.eq(full & ~taken[k]) for k, output in enumerate(self.outputs)]
        m.d.comb += free.eq(reduce(and_, served) | ~full)
        for k, reader in enumerate(served):
            m.d.sync += taken[k].eq(~free & reader)
