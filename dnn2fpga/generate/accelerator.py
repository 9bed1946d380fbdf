"""The generated design: a loop over the layers of the integer model; no layer kind is named here."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, ClockDomain, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from dnn2fpga.plan.hardware_plan import HardwarePlan, components_of
from dnn2fpga.quantized_graph import QuantizedGraph, Tensor
from rtl_lib.formats import index_signal
from rtl_lib.stream import Beat, Chain, MasterSlaveStage, StreamComponent


def beat_of(tensor: Tensor) -> Beat:
    return Beat(tensor.format, tensor.lanes)


def lane_bits(tensor: Tensor) -> int:
    """Bits of one number on the outside: whole bytes."""
    return 8 * -(-tensor.width // 8)


class Network(StreamComponent):
    """The layers, the master-slave stages behind them, and the boundary streams between them under fixed names."""

    def __init__(self, graph: QuantizedGraph, plan: HardwarePlan) -> None:
        self.graph = graph
        self.plan = plan
        super().__init__(beat_of(graph.input), beat_of(graph.output))

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        stream: Any = wiring.flipped(self.i)
        beat = self.input_beat
        self._boundary(m, 0, stream)
        for boundary in self.plan.boundaries[1:]:
            parts = components_of(self.graph, boundary.layer, self.plan.settings)
            stage = MasterSlaveStage(parts[-1][1].output_beat)
            layer = Chain([*parts, ("master_slave", stage)] if boundary.staged else parts)
            if layer.input_beat != beat:
                raise ValueError(f"layer '{boundary.layer}' must take {beat}, not {layer.input_beat}")
            # The number in front keeps a layer's name apart from Verilog's keywords and from our own signals.
            m.submodules[f"layer_{boundary.index}_{boundary.layer}"] = layer
            wiring.connect(m, stream, layer.i)
            self._boundary(m, boundary.index, layer.o)
            stream, beat = layer.o, layer.output_beat
        wiring.connect(m, stream, wiring.flipped(self.o))
        return m

    @staticmethod
    def _boundary(m: Module, index: int, stream: Any) -> None:
        """Names the signals for whoever looks on: testbench, waveform, logic analyzer."""
        payload = Value.cast(stream.payload)
        names = {"payload": payload, "valid": stream.valid, "ready": stream.ready}
        for name, value in names.items():
            seen = Signal(len(value), name=f"boundary_{index}_{name}")
            m.d.comb += seen.eq(value)


class Accelerator(wiring.Component):
    """The top module: AXI4-Stream in and out, ``aclk``, active-low synchronous ``aresetn`` (docs/bundle.md)."""

    def __init__(self, graph: QuantizedGraph, plan: HardwarePlan) -> None:
        self.graph = graph
        self.plan = plan
        super().__init__(
            {
                "aclk": In(1),
                "aresetn": In(1),
                "s_axis_tdata": In(graph.input.lanes * lane_bits(graph.input)),
                "s_axis_tvalid": In(1),
                "s_axis_tready": Out(1),
                "s_axis_tlast": In(1),
                "m_axis_tdata": Out(graph.output.lanes * lane_bits(graph.output)),
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
        source, sink = self.graph.input, self.graph.output
        bits = lane_bits(source)
        m.d.comb += [
            network.i.payload.as_value().eq(
                Cat(*(self.s_axis_tdata[k * bits : k * bits + source.width] for k in range(source.lanes)))
            ),
            network.i.valid.eq(self.s_axis_tvalid),
            self.s_axis_tready.eq(network.i.ready),
            self.m_axis_tvalid.eq(network.o.valid),
            network.o.ready.eq(self.m_axis_tready),
        ]
        bits = lane_bits(sink)
        # Assigning a lane to a wider slice extends it by its sign.
        m.d.comb += [self.m_axis_tdata[k * bits : (k + 1) * bits].eq(network.o.payload[k]) for k in range(sink.lanes)]
        beat = index_signal(sink.beats)
        m.d.comb += self.m_axis_tlast.eq(beat == sink.beats - 1)
        with m.If(self.m_axis_tvalid & self.m_axis_tready):
            m.d.sync += beat.eq(beat + 1)
            with m.If(self.m_axis_tlast):
                m.d.sync += beat.eq(0)
        return m
