"""The generated design: the plan's components, connected; no layer kind is named here, and nothing is decided."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import and_, or_
from typing import Any

from amaranth.hdl import Cat, ClockDomain, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from dnn2fpga.plan.hardware_plan import HardwarePlan
from dnn2fpga.plan.streams import Boundary, Output
from dnn2fpga.plan.wire import Wire
from dnn2fpga.tensors.tensor import Tensor
from rtl_lib.core.formats import index_signal
from rtl_lib.core.stream import Chain, StreamComponent


def lane_bits(tensor: Tensor) -> int:
    """Bits of one number on the outside: whole bytes."""
    return 8 * -(-tensor.width // 8)


def axis_of(prefix: str, name: str, ports: Sequence[Any]) -> str:
    """The prefix of a port's signals: the name of the input or output only where there are several."""
    return prefix if len(ports) == 1 else f"{prefix}_{name}"


class Network(StreamComponent):
    """The layers, what stands between them, and the boundary streams under fixed names."""

    def __init__(self, plan: HardwarePlan) -> None:
        self.plan = plan
        self.by_name = {boundary.name: boundary for boundary in plan.boundaries}
        inputs = tuple(boundary.beat for boundary in plan.inputs)
        outputs = tuple(self.by_name[output.edge.source].beat for output in plan.outputs)
        super().__init__(inputs if len(inputs) > 1 else inputs[0], outputs if len(outputs) > 1 else outputs[0])

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        streams: dict[tuple[str, str, int], Any] = {}  # by edge
        payloads: dict[str, Value] = {}  # as they are shown
        for boundary, port in zip(self.plan.inputs, self.inputs, strict=True):
            stage = boundary.separator()
            after = [wiring.flipped(port)]
            if stage:
                name = axis_of("input_stage", boundary.name, self.plan.inputs)
                m.submodules[name] = stage
                wiring.connect(m, wiring.flipped(port), stage.i)
                after = list(stage.outputs)
            shown = after if boundary.forks else [wiring.flipped(port)]
            payloads[boundary.name] = self._show(m, boundary, shown)
            self._branch(m, boundary, after, streams)
        for layout, boundary in zip(
            self.plan.layout.layers, self.plan.boundaries[len(self.plan.inputs) :], strict=True
        ):
            separator = boundary.separator()
            name = "fork" if boundary.forks else "fifo" if boundary.fifo else "master_slave"
            layer = Chain([*layout.parts, *([(name, separator)] if separator else [])])
            # The number in front keeps a layer's name apart from Verilog's keywords and from our own signals.
            module = f"layer_{boundary.index}_{boundary.name}"
            m.submodules[module] = layer
            for edge, source, entry in zip(boundary.inputs, layout.sources, layer.inputs, strict=True):
                stream = streams[edge.key]
                if source.adapters:
                    adapter = Chain(list(source.adapters))
                    m.submodules[f"{module}_input_{edge.place}"] = adapter
                    wiring.connect(m, stream, adapter.i)
                    stream = adapter.o
                wiring.connect(m, stream, entry)
            payloads[boundary.name] = self._show(m, boundary, layer.outputs)
            self._branch(m, boundary, layer.outputs, streams)
        for output, port in zip(self.plan.outputs, self.outputs, strict=True):
            self._leave(m, output, streams[output.edge.key], payloads, port)
        return m

    @staticmethod
    def _branch(
        m: Module, boundary: Boundary, branches: Sequence[Any], streams: dict[tuple[str, str, int], Any]
    ) -> None:
        """Put the FIFOs where a tensor has several readers."""
        for edge, stream in zip(boundary.edges, branches, strict=True):
            if fifo := boundary.fifo_of(edge):
                m.submodules[f"fifo_{boundary.index}_{boundary.name}_{boundary.edges.index(edge)}"] = fifo
                wiring.connect(m, stream, fifo.i)
                stream = fifo.o
            streams[edge.key] = stream

    def _leave(self, m: Module, output: Output, stream: Any, payloads: dict[str, Value], port: Any) -> None:
        boundary = self.by_name[output.edge.source]
        payload = self._counted(m, boundary.wire, stream) if boundary.forks else payloads[boundary.name]
        m.d.comb += [
            port.valid.eq(stream.valid),
            port.payload.as_value().eq(payload),
            stream.ready.eq(port.ready),
        ]

    @classmethod
    def _show(cls, m: Module, boundary: Boundary, branches: Sequence[Any]) -> Value:
        """Name the signals for observers (testbench, waveform, logic analyzer); return the payload.

        :param branches: the stream, or those of several readers: the beat passes when the last of them accepts it.
        """
        stream = branches[0]
        names = {"payload": stream.payload, "valid": stream.valid, "ready": stream.ready}
        if boundary.forks:
            valid = reduce(or_, (branch.valid for branch in branches))
            names |= {
                "valid": valid,
                "ready": reduce(and_, (~branch.valid | branch.ready for branch in branches)),
                "taken": Cat(valid & ~branch.valid for branch in branches),
            }
        names["payload"] = cls._counted(m, boundary.wire, stream, names["valid"] & names["ready"])
        for name, value in names.items():
            seen = Signal(len(Value.cast(value)), name=f"boundary_{boundary.name}_{name}")
            m.d.comb += seen.eq(value)
            names[name] = seen
        return names["payload"]

    @staticmethod
    def _counted(m: Module, wire: Wire, stream: Any, passes: Value | None = None) -> Value:
        """Return the payload, with 0 in the lanes after the last pixels of a row (where nobody reads them, synthesis
        removes that logic).
        """
        payload: Value = Value.cast(stream.payload)
        if not wire.has_surplus:
            return payload
        rows = wire.rows
        beat = index_signal(rows.beats_per_row)
        last = beat == rows.beats_per_row - 1
        with m.If(stream.valid & stream.ready if passes is None else passes):
            m.d.sync += beat.eq(Mux(last, 0, beat + 1))
        return Mux(last, payload[: len(payload) // rows.pixels * rows.last_pixels], payload)


class Accelerator(wiring.Component):
    """The top module: one AXI4-Stream per input and output, ``aclk``, active-low synchronous ``aresetn``
    (docs/bundle.md).
    """

    def __init__(self, plan: HardwarePlan) -> None:
        self.plan = plan
        by_name = {boundary.name: boundary for boundary in plan.boundaries}
        # A boundary for each port, by the prefix of its signals.
        self.entries = {axis_of("s_axis", b.name, plan.inputs): b for b in plan.inputs}
        self.exits = {axis_of("m_axis", o.name, plan.outputs): by_name[o.edge.source] for o in plan.outputs}
        members: dict[str, Any] = {"aclk": In(1), "aresetn": In(1)}
        for ports, into, out_of in ((self.entries, In, Out), (self.exits, Out, In)):
            for axis, boundary in ports.items():
                members |= {
                    f"{axis}_tdata": into(boundary.beat.lanes * lane_bits(boundary.tensor)),
                    f"{axis}_tvalid": into(1),
                    f"{axis}_tready": out_of(1),
                    f"{axis}_tlast": into(1),
                }
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        domain = ClockDomain("sync", local=True)
        m.domains += domain
        m.d.comb += [domain.clk.eq(self.aclk), domain.rst.eq(~self.aresetn)]
        m.submodules.network = network = Network(self.plan)
        for (axis, boundary), stream in zip(self.entries.items(), network.inputs, strict=True):
            self._enter(m, axis, boundary, stream)
        for (axis, boundary), stream in zip(self.exits.items(), network.outputs, strict=True):
            self._leave(m, axis, boundary, stream)
        return m

    def _enter(self, m: Module, axis: str, boundary: Boundary, stream: Any) -> None:
        bits, width, lanes = lane_bits(boundary.tensor), boundary.tensor.width, boundary.beat.lanes
        data = getattr(self, f"{axis}_tdata")
        m.d.comb += [
            stream.payload.as_value().eq(Cat(*(data[k * bits : k * bits + width] for k in range(lanes)))),
            stream.valid.eq(getattr(self, f"{axis}_tvalid")),
            getattr(self, f"{axis}_tready").eq(stream.ready),
        ]

    def _leave(self, m: Module, axis: str, boundary: Boundary, stream: Any) -> None:
        data, valid, ready, last = (getattr(self, f"{axis}_{name}") for name in ("tdata", "tvalid", "tready", "tlast"))
        bits, lanes, beats = lane_bits(boundary.tensor), boundary.beat.lanes, boundary.beats
        m.d.comb += [valid.eq(stream.valid), stream.ready.eq(ready)]
        # Assigning a lane to a wider slice extends it by its sign.
        m.d.comb += [data[k * bits : (k + 1) * bits].eq(stream.payload[k]) for k in range(lanes)]
        beat = index_signal(beats)
        m.d.comb += last.eq(beat == beats - 1)
        with m.If(valid & ready):
            m.d.sync += beat.eq(beat + 1)
            with m.If(last):
                m.d.sync += beat.eq(0)
