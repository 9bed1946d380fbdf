"""Numbers on their way through a datapath, with the interval that each lies in; to be built, or only to be counted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from amaranth.hdl import Module

from rtl_lib.core.features import Features, Kind
from rtl_lib.core.formats import Format
from rtl_lib.core.pipeline import PipelineBuilder
from rtl_lib.elementwise.requantize import narrow


@dataclass(frozen=True)
class Term:
    """
    :param low, high: the interval of ``value``.
    :param value: wires; 0 where only sizes are asked for.
    :param negative: the number is ``-value``: it will be subtracted, which costs no more than to add it.
    :param zeros: low bits of ``value`` that are always 0.
    :param of_block: ``value`` comes from a multiplier, so a DSP block may do what is done to it next.
    """

    low: int
    high: int
    value: Any = 0
    negative: bool = False
    zeros: int = 0
    of_block: bool = False

    @property
    def format(self) -> Format:
        return Format.containing(self.low, self.high)

    def times(self, constant: int) -> Term:
        """The product with a constant; with a power of two, or the negative of one, it is wires."""
        if not constant:
            return Term(0, 0)
        if not is_wires(constant):
            low, high = sorted((self.low * constant, self.high * constant))
            return Term(low, high, self.value * constant, of_block=True)
        shift = abs(constant).bit_length() - 1
        return Term(self.low << shift, self.high << shift, self.value << shift, constant < 0, shift)

    def plus(self, constant: int) -> Term:
        return replace(self, low=self.low + constant, high=self.high + constant, value=self.value + constant, zeros=0)


def register_of(term: Term, unread: int = 0) -> Features:
    """
    :param unread: low bits that nobody reads.
    """
    # A register right after a multiplier, or an adder after it, is part of the DSP block, as are the registers before
    # it.
    kind = Kind.OPERAND if term.of_block else Kind.REGISTER
    return Features().add(kind, max(term.format.width - max(unread, term.zeros), 0))


def adder_of(constant: int, bits: int, kind: Kind = Kind.CONSTANT_ADDER) -> Features:
    """Return the features of an adder of a known constant to a number of ``bits``: only its set bits cost something.
    (What is counted of ``kind`` are bits of a constant of which half are set.)
    """
    return Features().add(kind, 2 * (constant % (1 << bits)).bit_count())


def is_wires(constant: int) -> bool:
    """Return whether a product with the constant needs no multiplier."""
    return abs(constant).bit_count() == 1


class Steps(ABC):
    """The treatment of the steps of a datapath."""

    @abstractmethod
    def wire(self, term: Term, made_of: Features) -> Term:
        """The term as a signal of its own, of the width of its interval."""

    @abstractmethod
    def register(self, term: Term, name: str, made_of: Features) -> Term:
        """The term one stage later."""


class Built(Steps):
    """Steps that become hardware.

    :param lane: whose registers these are, for their names.
    """

    def __init__(self, m: Module, build: PipelineBuilder, lane: int) -> None:
        self.m, self.build, self.lane = m, build, lane
        self.named: Counter[str] = Counter()

    def wire(self, term: Term, made_of: Features) -> Term:
        return replace(term, value=narrow(self.m, term.value, term.format))

    def register(self, term: Term, name: str, made_of: Features) -> Term:
        number = self.named[name]
        self.named[name] += 1
        return replace(term, value=self.build.register(term.value, f"{name}_{self.lane}_{number}"))


class Counted(Steps):
    """Steps that are only counted, in ``bill``."""

    def __init__(self) -> None:
        self.bill = Features()

    def wire(self, term: Term, made_of: Features) -> Term:
        self.bill += made_of
        return term

    def register(self, term: Term, name: str, made_of: Features) -> Term:
        return self.wire(term, made_of)
