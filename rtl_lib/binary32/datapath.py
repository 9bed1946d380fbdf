"""The logic of ``rtl_lib.binary32.arithmetic``: a multiplier, an adder and the conversions from and to integers.

Each function puts its constant number of registers (``..._LATENCY``) on every path from its arguments to its result,
which is a register itself. Numbers are the 32 bits of IEEE 754: fraction ``[:23]``, biased exponent ``[23:31]``, sign
``[31]``; an exponent of 0 counts as the number zero, whatever the fraction.
"""

from __future__ import annotations

from collections.abc import Iterable

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, ValueLike, signed

from rtl_lib.core.arithmetic import Rounding
from rtl_lib.core.pipeline import PipelineBuilder

MULTIPLY_LATENCY = 4
ADD_LATENCY = 5
FROM_INTEGER_LATENCY = 2
TO_INTEGER_LATENCY = 2

BIAS = 127
FRACTION = 23
INFINITY = 0xFF << FRACTION


def multiplier(m: Module, build: PipelineBuilder, a: Value, b: Value) -> Signal:
    """``a * b``. Registers: significands; two partial products; their 48-bit sum; rounded result."""
    exponent = Signal(signed(10))
    m.d.comb += exponent.eq(a[FRACTION:31] + b[FRACTION:31] - BIAS)
    zero = (a[FRACTION:31] == 0) | (b[FRACTION:31] == 0)
    exponent, zero, sign = (later(build, value, 3, "of_product") for value in (exponent, zero, a[31] ^ b[31]))
    # The lower 17 bits of one factor apart: 24 × 17 unsigned bits is what one DSP48 multiplies, and 17 is how far the
    # next one shifts the sum that it receives from its neighbour. So a product is two such blocks and nothing else.
    x, y = (Cat(build.register(operand[:FRACTION], "fraction"), Const(1)) for operand in (a, b))
    upper, lower = build.register(x * y[17:], "upper"), build.register(x * y[:17], "lower")
    product = build.register(Cat(lower[:17], (upper + lower[17:])[:31]), "product")
    # Two factors in [1, 2): the product's leading bit is the first or the second one.
    first = product[-1]
    window = named(m, Mux(first, product[FRACTION:], product[FRACTION - 1 : -1]), "window")
    sticky = product[: FRACTION - 1].any() | (first & product[FRACTION - 1])
    result = _round(sign, named(m, exponent + first, "exponent"), Cat(sticky, window), zero)
    return build.register(result, "result")


def adder(m: Module, build: PipelineBuilder, a: Value, b: Value) -> Signal:
    """``a + b``. Registers: operands in order of magnitude; aligned; sum; its leading bit found; rounded result."""
    # The sum has the exponent and the sign of the larger operand, until its leading bit moves.
    swap = named(m, a[:31] < b[:31], "swap")
    large, small = named(m, Mux(swap, b, a), "large"), named(m, Mux(swap, a, b), "small")
    present = [x[FRACTION:31] != 0 for x in (large, small)]
    significands = [
        build.register(Mux(bit, Cat(x[:FRACTION], 1), 0), "significand")
        for bit, x in zip(present, (large, small), strict=True)
    ]
    distance = build.register((large[FRACTION:31] - small[FRACTION:31])[:8], "distance")
    exponent, sign, subtract = large[FRACTION:31], large[31], a[31] ^ b[31]
    both_negative = a[31] & b[31]

    # Three more bits below the significand are enough to round exactly: the last one is set when anything below is.
    significand = build.register(Cat(Const(0, 3), significands[0]), "upper")
    aligned = shift_right_sticky(m, Cat(Const(0, 3), significands[1]), distance[:5])
    aligned = build.register(Mux(distance[5:].any(), significands[1].any(), aligned), "aligned")

    # A subtraction adds the complement and one more, which enters as the carry of an extra lowest bit.
    subtract = later(build, subtract, 2, "subtract")
    operand = Mux(subtract, ~aligned, aligned)
    total = Cat(Const(1), significand, Const(0)) + Cat(subtract, operand, subtract)
    total, far = leading_one_first(m, named(m, total[1:29], "sum"), [4])
    total, far = build.register(total, "total"), later(build, far, 2, "far")

    normal, shift = leading_one_first(m, total, [3, 2, 1, 0])
    normal, shift = build.register(normal, "normal"), Cat(build.register(shift, "shift"), far)
    exponent = named(m, later(build, exponent, 4, "exponent") + 1 - shift, "exponent")
    # A sum that vanishes has no sign of its own: it is -0 only when both operands are negative (that is, both are -0).
    zero = ~normal[-1]
    sign, both_negative = later(build, sign, 4, "sign"), later(build, both_negative, 4, "both_negative")
    result = _round(Mux(zero, both_negative, sign), exponent, Cat(normal[:3].any(), normal[3:]), zero)
    return build.register(result, "result")


def integer_to_float(m: Module, build: PipelineBuilder, value: Value) -> Signal:
    """``value``, of a magnitude below 2^24: exact. Registers: sign and magnitude; result."""
    shape = value.shape()
    negative = value[-1] if shape.signed else Const(0)
    magnitude = build.register(Mux(negative, -value, value)[: min(shape.width, 24)], "magnitude")
    normal, shift = leading_one_first(m, magnitude, reversed(range((len(magnitude) - 1).bit_length())))
    exponent = Mux(normal[-1], BIAS + len(normal) - 1 - shift, 0)[:8]
    fraction = Cat(Const(0, 24 - len(normal)), normal[:-1])
    return build.register(Cat(fraction, exponent, build.register(negative, "sign")), "result")


def float_to_integer(m: Module, build: PipelineBuilder, x: Value, bound: int, rounding: Rounding) -> Signal:
    """``x`` rounded to a signed integer, exact from ``-bound`` to ``bound``; beyond, any integer on the same side of
    that range. Registers: fixed point; result.
    """
    integer_bits = (bound + 1).bit_length()
    width = max(integer_bits + 2, 24)  # below the integer at least a half, and a bit for everything smaller
    sign, exponent, present = x[31], x[FRACTION:31], x[FRACTION:31] != 0
    shift = named(m, BIAS + integer_bits - 1 - exponent, "shift")  # to the right, from the largest place
    bits = width.bit_length()
    near = shift_right_sticky(m, Cat(Const(0, width - 24), x[:FRACTION], present), shift[:bits])
    distant = Mux(shift[bits:].any(), present, near)
    fixed = build.register(Mux(shift[-1], Const(-1, signed(width)).as_unsigned(), distant), "fixed")

    whole, half, rest = fixed[-integer_bits:], fixed[-integer_bits - 1], fixed[: -integer_bits - 1].any()
    negative = build.register(sign, "negative")
    # True where the magnitude grows: towards minus infinity only below zero; at a tie away from an odd one.
    grows = {
        Rounding.FLOOR: negative & (half | rest),
        Rounding.HALF_UP: half & (rest | ~negative),
        Rounding.HALF_EVEN: half & (rest | whole[0]),
    }[rounding]
    # -(whole + grows) is ~whole + (1 - grows).
    flipped = Cat(whole, Const(0, 2)) ^ negative.replicate(integer_bits + 2)
    return build.register((flipped.as_signed() + (grows ^ negative))[: integer_bits + 2].as_signed(), "integer")


def shift_right_sticky(m: Module, value: Value, amount: Value) -> Value:
    """``value >> amount``, the lowest bit set when any bit that was shifted out was: exact for later rounding."""
    for k in range(len(amount)):
        distance = min(1 << k, len(value) - 1)
        moved = Cat(value[: distance + 1].any(), value[distance + 1 :], Const(0, distance))
        value = named(m, Mux(amount[k], moved, value), f"by_{distance}")
    return value


def leading_one_first(m: Module, value: Value, steps: Iterable[int]) -> tuple[Value, Value]:
    """``value`` shifted left until its highest bit is set, and by how many bits; the highest bit of 0 stays clear.
    The steps are powers of two (given by their logarithms, falling), so that a caller can spread them over registers.
    """
    taken: list[Value] = []
    for distance in (1 << step for step in steps):
        empty = named(m, ~value[-distance:].any(), f"upper_{distance}_empty")
        value = named(m, Mux(empty, Cat(Const(0, distance), value[:-distance]), value), f"from_{distance}")
        taken.insert(0, empty)
    return value, Cat(taken)


def later(build: PipelineBuilder, value: ValueLike, registers: int, name: str) -> Value:
    """``value`` some registers later."""
    delayed = Value.cast(value)
    for _ in range(registers):
        delayed = build.register(delayed, name)
    return delayed


def named(m: Module, value: ValueLike, name: str) -> Signal:
    """``value`` as a wire with a name: the Verilog writes it once, whoever reads it."""
    wire = Signal.like(Value.cast(value), name=name)
    m.d.comb += wire.eq(value)
    return wire


def _round(sign: Value, exponent: Value, significand: Value, zero: Value) -> Value:
    """The 32 bits of a result from its exact value: ``significand`` is 24 bits with the leading one, a half, and a bit
    for everything smaller, from the top; ``exponent`` is biased and signed.
    """
    sticky, half, fraction = significand[0], significand[1], significand[2:-1]
    # A fraction that overflows carries into the exponent, as it should; the largest number becomes infinity.
    rounded = (Cat(fraction, exponent[:8]) + (half & (sticky | fraction[0])))[:31]
    return Cat(Mux(zero | (exponent < 1), 0, Mux(exponent > 254, INFINITY, rounded)), sign)
