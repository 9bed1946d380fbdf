"""The generated design: a loop over the layers of the integer model; no layer kind is named here."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, ClockDomain, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.plan.hardware_plan import Boundary, HardwarePlan
from dnn2fpga.plan.layout import lay_out
from dnn2fpga.tensors.tensor import Tensor
from rtl_lib.core.formats import index_signal
from rtl_lib.core.stream import Chain, StreamComponent


def lane_bits(tensor: Tensor) -> int:
    """Bits of one number on the outside: whole bytes."""
    return 8 * -(-tensor.width // 8)


class Network(StreamComponent):
    """The layers, the master-slave stages behind them, and the boundary streams between them under fixed names."""

    def __init__(self, graph: QuantizedGraph, plan: HardwarePlan) -> None:
        self.graph = graph
        self.plan = plan
        super().__init__(plan.boundaries[0].beat, plan.boundaries[-1].beat)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        entry, *behind_layers = self.plan.boundaries
        stream: Any = wiring.flipped(self.i)
        beat = self.input_beat
        seen = self._boundary(m, entry, stream)
        if separator := entry.separator():
            m.submodules.input_stage = separator
            wiring.connect(m, stream, separator.i)
            stream = separator.o
        for boundary, layout in zip(behind_layers, lay_out(self.graph, self.plan.settings), strict=True):
            separator = boundary.separator()
            name = "fifo" if boundary.fifo else "master_slave"
            layer = Chain([*layout.parts, *([(name, separator)] if separator else [])])
            if layer.input_beat != beat:
                raise ValueError(f"layer '{boundary.layer}' must take {beat}, not {layer.input_beat}")
            # The number in front keeps a layer's name apart from Verilog's keywords and from our own signals.
            m.submodules[f"layer_{boundary.index}_{boundary.layer}"] = layer
            wiring.connect(m, stream, layer.i)
            seen = self._boundary(m, boundary, layer.o)
            stream, beat = layer.o, layer.output_beat
        m.d.comb += [self.o.valid.eq(stream.valid), self.o.payload.as_value().eq(seen), stream.ready.eq(self.o.ready)]
        return m

    @staticmethod
    def _boundary(m: Module, boundary: Boundary, stream: Any) -> Value:
        """Names the signals for whoever looks on: testbench, waveform, logic analyzer; returns the payload. What lies
        beside the last pixels of a row is shown as 0 (where nobody looks, synthesis removes what that takes).
        """
        payload: Value = Value.cast(stream.payload)
        rows = boundary.wire.rows
        if boundary.wire.has_surplus:
            beat = index_signal(rows.beats_per_row)
            last = beat == rows.beats_per_row - 1
            with m.If(stream.valid & stream.ready):
                m.d.sync += beat.eq(Mux(last, 0, beat + 1))
            counted = len(payload) // rows.pixels * rows.last_pixels
            payload = Mux(last, payload[:counted], payload)
        names = {"payload": payload, "valid": stream.valid, "ready": stream.ready}
        for name, value in names.items():
            seen = Signal(len(value), name=f"boundary_{boundary.layer}_{name}")
            m.d.comb += seen.eq(value)
            payload = seen if name == "payload" else payload
        return payload


class Accelerator(wiring.Component):
    """The top module: AXI4-Stream in and out, ``aclk``, active-low synchronous ``aresetn`` (docs/bundle.md)."""

    def __init__(self, graph: QuantizedGraph, plan: HardwarePlan) -> None:
        self.graph = graph
        self.plan = plan
        self.entry, self.exit = plan.boundaries[0], plan.boundaries[-1]
        super().__init__(
            {
                "aclk": In(1),
                "aresetn": In(1),
                "s_axis_tdata": In(self.entry.beat.lanes * lane_bits(graph.input)),
                "s_axis_tvalid": In(1),
                "s_axis_tready": Out(1),
                "s_axis_tlast": In(1),
                "m_axis_tdata": Out(self.exit.beat.lanes * lane_bits(graph.output)),
                "m_axis_tvalid": Out(1),
                "m_axis_tready": In(1),
                "m_axis_tlast": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        domain = ClockDomain("sync", local=True)
        m.domains += domain
        m.d.comb += [domain.clk.eq(self.aclk), domain.rst.eq(~self.aresetn)]
        m.submodules.network = network = Network(self.graph, self.plan)
        bits, width, lanes = lane_bits(self.entry.tensor), self.entry.tensor.width, self.entry.beat.lanes
        m.d.comb += [
            network.i.payload.as_value().eq(
                Cat(*(self.s_axis_tdata[k * bits : k * bits + width] for k in range(lanes)))
            ),
            network.i.valid.eq(self.s_axis_tvalid),
            self.s_axis_tready.eq(network.i.ready),
            self.m_axis_tvalid.eq(network.o.valid),
            network.o.ready.eq(self.m_axis_tready),
        ]
        bits, lanes, beats = lane_bits(self.exit.tensor), self.exit.beat.lanes, self.exit.beats
        # Assigning a lane to a wider slice extends it by its sign.
        m.d.comb += [self.m_axis_tdata[k * bits : (k + 1) * bits].eq(network.o.payload[k]) for k in range(lanes)]
        beat = index_signal(beats)
        m.d.comb += self.m_axis_tlast.eq(beat == beats - 1)
        with m.If(self.m_axis_tvalid & self.m_axis_tready):
            m.d.sync += beat.eq(beat + 1)
            with m.If(self.m_axis_tlast):
                m.d.sync += beat.eq(0)
        return m
