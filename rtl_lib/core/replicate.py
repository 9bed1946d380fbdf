"""Several copies of a component in lockstep, each on its own slice of a beat.

What a layer does with one pixel it does with the several pixels of a beat: copy k reads the k-th part of the input
lanes and drives the k-th part of the output lanes. All copies see the same handshakes, so they are always in the same
state, and the first one speaks for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Module

from rtl_lib.core.features import Features
from rtl_lib.core.stream import Chain, StreamComponent
from rtl_lib.core.timing import BeatModel


def side_by_side(copies: Sequence[StreamComponent]) -> StreamComponent:
    """Replicate identical components (or chains of them) as one component; copies are made fresh, one for each slice.

    Chains are replicated link by link, so the result is a chain again; each link has its own timing model.
    """
    if not copies:
        raise ValueError("copies must be at least one component, not none")
    if len(copies) == 1:
        return copies[0]
    links = [copy.components("part") for copy in copies]
    if not any(isinstance(copy, Chain) for copy in copies):
        return SideBySide(copies)
    names = {tuple(name for name, _ in parts) for parts in links}
    if len(names) > 1:
        raise ValueError(f"copies must be chains of the same parts, not {' and '.join(map(str, sorted(names)))}")
    return Chain([(same[0][0], SideBySide([component for _, component in same])) for same in zip(*links, strict=True)])


class SideBySide(StreamComponent):
    """``copies`` of one component, none of them a chain: ``side_by_side`` accepts those too."""

    def __init__(self, copies: Sequence[StreamComponent]) -> None:
        if not copies:
            raise ValueError("copies must be at least one component, not none")
        kinds = {(type(copy).__name__, copy.input_beat, copy.output_beat, copy.is_pipeline) for copy in copies}
        if len(kinds) > 1:
            described = " and ".join(sorted(f"{kind} from {taken} to {given}" for kind, taken, given, _ in kinds))
            raise ValueError(f"copies must be identical, not {described}")
        self.copies = list(copies)
        first = self.copies[0]
        self.is_pipeline = first.is_pipeline  # type: ignore[misc]  # what the copies are, not the class
        self.holds_input, self.detail = first.holds_input, f"{len(copies)} × ({first.detail})" if first.detail else ""
        super().__init__(*(beat.repeated(len(copies)) for beat in (first.input_beat, first.output_beat)))

    def features(self) -> Features:
        return sum((copy.features() for copy in self.copies), Features())

    def beat_model(self) -> BeatModel:
        return self.copies[0].beat_model()

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        bits = self.copies[0].input_beat.layout.size
        for k, copy in enumerate(self.copies):
            m.submodules[f"copy_{k}"] = copy
            m.d.comb += [
                copy.i.payload.as_value().eq(self.i.payload.as_value()[k * bits : (k + 1) * bits]),
                copy.i.valid.eq(self.i.valid),
                copy.o.ready.eq(self.o.ready),
            ]
        first = self.copies[0]
        m.d.comb += [
            self.i.ready.eq(first.i.ready),
            self.o.valid.eq(first.o.valid),
            self.o.payload.as_value().eq(Cat(*(copy.o.payload.as_value() for copy in self.copies))),
        ]
        return m
