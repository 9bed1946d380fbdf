"""The clock of a board's design, made from its oscillator by a PLL of the family where the two differ."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from amaranth.hdl import Instance, Module, Signal

from dnn2fpga.build.boards import Board
from dnn2fpga.build.families import Tools
from dnn2fpga.errors import UserError

# Makes a PLL from the clock in, the clock out, and the signal that says it is locked.
Pll = Callable[[Signal, Signal, Signal], Instance]


def pll_of(board: Board, clock_mhz: float) -> Pll | None:
    """None where the oscillator has the right frequency already.

    :raises UserError: when the frequency cannot be made exactly.
    """
    oscillator_mhz = board.pins.oscillator_mhz
    if clock_mhz == oscillator_mhz:
        return None
    make = _PLLS.get(board.architecture.tools)
    pll = make(_exact(oscillator_mhz), _exact(clock_mhz)) if make else None
    if pll is None:
        why = "its PLL has no such ratio" if make else "no PLL of this family is known here"
        raise UserError(
            f"{board.name}: {clock_mhz:g} MHz cannot be made from its {oscillator_mhz:g} MHz oscillator "
            f"({why}); give another --clock, {board.clock_mhz:g} for example"
        )
    return pll


def _exact(mhz: float) -> Fraction:
    return Fraction(mhz).limit_denominator(1_000_000)


def _ecp5(source: Fraction, target: Fraction) -> Pll | None:
    """EHXPLLL with its output fed back: oscillator of 400-800 MHz, at least 3.125 MHz at the phase detector
    (FPGA-TN-02200).
    """
    ratio = target / source
    reference, feedback = ratio.denominator, ratio.numerator
    output = round(600 / target)
    if not 1 <= reference <= 128 or not 1 <= feedback <= 80 or not 1 <= output <= 128:
        return None
    if source / reference < Fraction(25, 8) or not 400 <= target * output <= 800:
        return None
    options: dict[str, Any] = {
        "p_CLKI_DIV": reference,
        "p_CLKFB_DIV": feedback,
        "p_CLKOP_DIV": output,
        "p_CLKOP_ENABLE": "ENABLED",
        "p_CLKOP_CPHASE": output // 2 - 1,
        "p_CLKOP_FPHASE": 0,
        "p_FEEDBK_PATH": "CLKOP",
        "a_FREQUENCY_PIN_CLKI": f"{float(source):g}",
        "a_FREQUENCY_PIN_CLKOP": f"{float(target):g}",
    }
    # Charge pump and loop filter, as Project Trellis' ecppll sets them.
    options |= {"a_ICP_CURRENT": "12", "a_LPF_RESISTOR": "8", "a_MFG_ENABLE_FILTEROPAMP": "1", "a_MFG_GMCREF_SEL": "2"}
    unused = ("PLLRST_ENA", "INTFB_WAKE", "STDBY_ENABLE", "DPHASE_SOURCE")
    options |= {f"p_{name}": "DISABLED" for name in unused} | {f"p_OUTDIVIDER_MUX{k}": f"DIV{k}" for k in "ABCD"}
    constant = {f"i_{name}": 0 for name in ("RST", "STDBY", "PHASESEL0", "PHASESEL1", "PLLWAKESYNC", "ENCLKOP")}
    constant |= {f"i_{name}": 1 for name in ("PHASEDIR", "PHASESTEP", "PHASELOADREG")}

    def instance(clock: Signal, made: Signal, locked: Signal) -> Instance:
        return Instance("EHXPLLL", **options, **constant, i_CLKI=clock, i_CLKFB=made, o_CLKOP=made, o_LOCK=locked)

    return instance


def _mmcm(source: Fraction, target: Fraction) -> Pll | None:
    """MMCME2_BASE: oscillator of 600-1200 MHz, multiplier and divider in eighths (UG472)."""
    for eighths in range(1024, 15, -1):  # a fast oscillator has the least jitter
        multiplier = Fraction(eighths, 8)
        if multiplier > 64 or not 600 <= source * multiplier <= 1200:
            continue
        divider = source * multiplier / target
        if (divider * 8).denominator == 1 and 2 <= divider <= 128:
            break
    else:
        return None
    options: dict[str, Any] = {
        "p_CLKIN1_PERIOD": round(float(1000 / source), 3),
        "p_CLKFBOUT_MULT_F": float(multiplier),
        "p_CLKOUT0_DIVIDE_F": float(divider),
        "p_DIVCLK_DIVIDE": 1,
    }

    def instance(clock: Signal, made: Signal, locked: Signal) -> Instance:
        feedback = Signal(name="pll_feedback")
        return Instance(
            "MMCME2_BASE",
            **options,
            i_CLKIN1=clock,
            i_CLKFBIN=feedback,
            i_RST=0,
            i_PWRDWN=0,
            o_CLKFBOUT=feedback,
            o_CLKOUT0=made,
            o_LOCKED=locked,
        )

    return instance


_PLLS: dict[Tools, Callable[[Fraction, Fraction], Pll | None]] = {Tools.TRELLIS: _ecp5, Tools.VIVADO: _mmcm}


def add_clock(m: Module, board: Board, pll: Pll | None, pin: Signal) -> tuple[Signal, Signal]:
    """The clock, and a signal that is low until it is steady.

    :param pll: of ``pll_of``.
    """
    clock, locked = Signal(name="clock"), Signal(name="locked")
    if pll is None:
        m.d.comb += [clock.eq(pin), locked.eq(1)]
    else:
        m.submodules.pll = pll(pin, clock, locked)
    return clock, locked
