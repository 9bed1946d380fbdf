"""The timing model of a folded engine: its sums and, where they follow, the epilogue and the gathering of the turns.

All registers of a turn's way move together unless something waits, so they are the bits of one integer: bit 0 is the
register at the output, the highest bit is the one that the last slot of a turn enters. The lowest ``EPILOGUE`` of them
move by themselves when the ones before them must wait. Nothing needs to be looked at between two vectors, however many
turns they take: what a leap leaves behind is calculated.
"""

from __future__ import annotations

from rtl_lib.core.rules import FOREVER, State, helper
from rtl_lib.core.timing import BeatModel, NetworkPart, PipelineModel
from rtl_lib.streams.repack import GathererModel

MOST_REGISTERS = 60  # bits of an integer

SLOT, SLOTS, CHUNKS, STREAMS, BITS, LENGTH, EPILOGUE, GATHERED, TURNS = range(9)


@helper
def takes_here(s: State) -> int:
    """Return whether a beat enters in the present slot: the first ones of a vector in parts, the last one of a held
    one.
    """
    return s[SLOT] < s[CHUNKS] if s[STREAMS] else s[SLOT] == s[SLOTS] - 1


@helper
def issues(s: State, valids: int) -> int:
    """Return whether the present slot is computed as soon as the registers move: it has its input."""
    return valids or (s[STREAMS] and s[SLOT] >= s[CHUNKS])


@helper
def folded_offers(s: State) -> int:
    if s[TURNS]:
        return 1 if s[GATHERED] == s[TURNS] else 0
    return s[BITS] & 1


@helper
def has_room(s: State, readys: int) -> int:
    """Return whether the first register moves on."""
    if readys or not folded_offers(s):
        return 1
    return 0 if s[BITS] & 1 and s[BITS] >> s[EPILOGUE] & 1 else 1


@helper
def blocked(s: State) -> int:
    """Return the registers one cycle later, when what is at the output stays there and nothing enters."""
    bits, epilogue = s[BITS], s[EPILOGUE]
    if not bits & 1:
        return bits >> 1
    if bits >> epilogue & 1:
        return bits
    return bits >> epilogue >> 1 << epilogue | bits & ((1 << epilogue) - 1)


@helper
def pass_freely(s: State, issued: int, cycles: int) -> int:
    """Let all registers move for so many cycles.

    :param issued: whether each of them computes a slot.
    :returns: how many turns left the last register.
    """
    length, chunks = s[LENGTH], s[CHUNKS]
    kept = max(length - cycles, 0)  # places that are not yet refilled
    left = ones(s[BITS] & ((1 << (length - kept)) - 1))
    s[BITS] = s[BITS] >> (length - kept) if kept else 0
    if issued:
        chunk = s[SLOT] % chunks
        early = max(cycles - length, 0)  # cycles whose turns have left again
        left += (chunk + early) // chunks
        cycle = early + chunks - 1 - (chunk + early) % chunks  # in which a turn is complete
        while cycle < cycles:
            s[BITS] |= 1 << (length - cycles + cycle)
            cycle += chunks
        s[SLOT] = (s[SLOT] + cycles) % s[SLOTS]
    return left


@helper
def ones(bits: int) -> int:
    count = 0
    while bits:
        bits &= bits - 1
        count += 1
    return count


@helper
def until_offer(s: State, issued: int) -> int:
    """Return for how many cycles more than one nothing is offered, while all registers move."""
    missing = s[TURNS] - s[GATHERED] if s[TURNS] else 1
    gathers = 1 if s[TURNS] else 0
    bits, place = s[BITS], 0
    while bits:
        missing -= bits & 1
        if missing == 0:
            return place - 1 + gathers
        bits >>= 1
        place += 1
    if not issued:
        return FOREVER
    return s[CHUNKS] * missing - 1 - s[SLOT] % s[CHUNKS] + s[LENGTH] - 1 + gathers


class FoldedModel(BeatModel):
    """
    :param latency: registers of the sums.
    :param turns: of a vector, each of ``chunks`` slots, the last of which enters the registers.
    :param streams: whether the vector comes in beats of one chunk each, or in one beat that waits until the last slot.
    :param epilogue: registers of a pipeline that follows.
    :param gathers: whether all turns become one beat after that.
    """

    def __init__(
        self, latency: int, turns: int, chunks: int, streams: bool, epilogue: int = 0, gathers: bool = False
    ) -> None:
        length = latency + epilogue
        if not 1 <= length <= MOST_REGISTERS:
            raise ValueError(f"an engine must have 1 to {MOST_REGISTERS} registers in a row, not {length}")
        self.latency, self.turns, self.chunks, self.streams = latency, turns, chunks, streams
        self.epilogue, self.gathers = epilogue, gathers
        self.state = [0, turns * chunks, chunks, int(streams), 0, length, epilogue, 0, turns if gathers else 0]

    @staticmethod
    def offers(s: State) -> int:
        return folded_offers(s)

    @staticmethod
    def accepts(s: State, valids: int, readys: int) -> int:
        return has_room(s, readys) if takes_here(s) else 0

    @staticmethod
    def moves(s: State, valids: int, readys: int, cycles: int) -> int:
        accepted = has_room(s, readys) if takes_here(s) else 0
        issued = issues(s, valids) and has_room(s, readys)
        if readys or not folded_offers(s):
            if s[GATHERED] == s[TURNS]:
                s[GATHERED] = 0
            left = pass_freely(s, issued, cycles)
            s[GATHERED] += left if s[TURNS] else 0
        else:
            s[BITS] = blocked(s)
            if issued:
                s[BITS] |= (1 if s[SLOT] % s[CHUNKS] == s[CHUNKS] - 1 else 0) << (s[LENGTH] - 1)
                s[SLOT] = (s[SLOT] + cycles) % s[SLOTS]
        if (has_room(s, readys) if takes_here(s) else 0) != accepted:
            return 0
        if not folded_offers(s):
            rest = until_offer(s, issues(s, valids))
            if issues(s, valids):
                return min(rest, (s[SLOTS] if s[STREAMS] else s[SLOTS] - 1) - s[SLOT])
            return rest
        if not has_room(s, readys):
            return FOREVER
        if readys or blocked(s) != s[BITS]:
            return 0
        return s[CHUNKS] - 1 - s[SLOT] % s[CHUNKS] if issues(s, valids) else FOREVER

    def followed_by(self, other: NetworkPart) -> BeatModel | None:
        own = self.latency, self.turns, self.chunks, self.streams
        if isinstance(other, PipelineModel) and not (self.epilogue or self.gathers):
            fits = self.latency + other.latency <= MOST_REGISTERS
            return FoldedModel(*own, other.latency) if fits else None
        if isinstance(other, GathererModel) and other.parts == self.turns and not self.gathers:
            return FoldedModel(*own, self.epilogue, gathers=True)
        return None

    def least(self) -> FoldedModel:
        return FoldedModel(1, self.turns, self.chunks, self.streams, min(self.epilogue, 1), self.gathers)
