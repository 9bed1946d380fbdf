"""The fabric of the FPGA families, as far as it decides what a tool makes of a memory or a product.

Memories cost what ``memory_libmap`` of yosys weighs them with, so that a RAM here becomes what it becomes there;
products are taken apart as its ``mul2dsp`` does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rtl_lib.core.features import Amount, ceil_div


@dataclass(frozen=True)
class Block:
    """A block RAM: what it costs, how many units of 18 Kbit it is, and the depths and widths that it may have."""

    cost: float
    bram18: float
    shapes: tuple[tuple[int, int], ...]

    def needed(self, depth: Amount, width: Amount) -> Amount:
        return fewest([ceil_div(depth, d) * ceil_div(width, w) for d, w in self.shapes])


@dataclass(frozen=True)
class LutRam:
    """``luts`` of memory, that cost so much; the depths and widths that they may have with one port for reading beside
    that for writing, and with one address for both. ``in_parts``: whether a part of the width costs a part.
    """

    luts: int
    cost: float
    dual_port: tuple[tuple[int, int], ...]
    single_port: tuple[tuple[int, int], ...]
    in_parts: bool


@dataclass(frozen=True)
class Dsp:
    """A multiplier. Wider operands are cut into pieces of ``piece`` bits, as long as they are wider than ``ports``.

    :param ports: of the wide and the narrow operand.
    :param least: bits of the narrow operand, of the wide one and of the product in a block; less becomes LUTs.
    :param half: bits that the wide operand has at most where half a block is enough.
    :param keeps_product: whether the register after a product is the block's own; ``keeps_operands``: those before it.
    :param adds: whether the sum of several blocks is theirs, too; ``adds_behind``: and a sum after that register.
    """

    ports: tuple[int, int]
    piece: int
    least: tuple[int, int, int]
    half: int = 0
    keeps_product: bool = False
    keeps_operands: bool = False
    adds: bool = False
    adds_behind: bool = False

    def pieces(self, wide: Amount, narrow: Amount) -> list[tuple[Amount, Amount, Amount]]:
        """Return the products that a wide one is cut into, as (count, wide, narrow): whole pieces of both operands,
        whole pieces of one of them, the rests.
        """
        cuts = [
            np.maximum(ceil_div(bits - port, self.piece), 0)
            for bits, port in zip((wide, narrow), self.ports, strict=True)
        ]
        rests = [bits - n * self.piece for bits, n in zip((wide, narrow), cuts, strict=True)]
        a, b = [((n, self.piece), (1, rest)) for n, rest in zip(cuts, rests, strict=True)]
        return [(n * m, np.maximum(x, y), np.minimum(x, y)) for n, x in a for m, y in b]

    def is_soft(self, wide: Amount, narrow: Amount, product: Amount) -> Amount:
        least_narrow, least_wide, least_product = self.least
        return (narrow < least_narrow) | (wide < least_wide) | (product < least_product)


@dataclass(frozen=True)
class Fabric:
    """:param rom_bits: of a read-only memory that cost 1 as logic.
    :param bypass: what it costs that a block RAM which is read and written at once needs registers beside it, so that
        what is read is what was there before; 0 where the blocks do so themselves.
    """

    lut_inputs: int
    blocks: tuple[Block, ...]
    lut_ram: LutRam | None
    dsp: Dsp
    rom_bits: int
    bypass: float = 0


def fewest(counts: list[Amount]) -> Amount:
    result = counts[0]
    for count in counts[1:]:
        result = np.minimum(result, count)
    return result


OF_18_KBIT = ((16384, 1), (8192, 2), (4096, 4), (2048, 9), (1024, 18), (512, 36))
OF_36_KBIT = (*((2 * depth, width) for depth, width in OF_18_KBIT), (512, 72))
OF_4_KBIT = ((2048, 2), (1024, 4), (512, 8), (256, 16))
SMALL = ((16, 4),)

FABRICS = {
    "xc7": Fabric(
        lut_inputs=6,
        blocks=(Block(129, 1, OF_18_KBIT), Block(257, 2, OF_36_KBIT)),
        lut_ram=LutRam(4, 8, ((32, 6), (64, 3)), ((32, 8), (64, 4), (128, 2), (256, 1)), in_parts=True),
        dsp=Dsp((25, 18), 17, (2, 2, 9), keeps_product=True, keeps_operands=True, adds=True, adds_behind=True),
        rom_bits=64,
    ),
    "ecp5": Fabric(
        lut_inputs=4,
        blocks=(Block(128, 1, OF_18_KBIT),),
        lut_ram=LutRam(6, 4, SMALL, SMALL, in_parts=False),
        dsp=Dsp((18, 18), 18, (2, 2, 0)),
        rom_bits=16,
        bypass=8,
    ),
    "ice40": Fabric(
        lut_inputs=4,
        blocks=(Block(64, 4 / 18, OF_4_KBIT),),
        lut_ram=None,
        dsp=Dsp((16, 16), 16, (2, 2, 11), keeps_product=True, adds=True),
        rom_bits=16,
        bypass=8,
    ),
    "gowin": Fabric(
        lut_inputs=4,
        blocks=(Block(128, 1, OF_18_KBIT),),
        lut_ram=LutRam(8, 4, SMALL, SMALL, in_parts=True),
        dsp=Dsp((18, 18), 18, (4, 4, 0), half=9),
        rom_bits=16,
        bypass=8,
    ),
}
