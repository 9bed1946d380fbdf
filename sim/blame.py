"""The judgement over a run: which stream is to blame for what went wrong.

When nothing moves any more although every layer works, layers wait for each other in a circle: a join waits for one
input while another one is full, and that fullness is what keeps the missing beat from coming.
"""

from __future__ import annotations

from checks import DEADLOCK, MISSING, Checker, Fault
from network import Read


def verdict(checker: Checker, cycle: int, *, gave_up: bool = True) -> Fault | None:
    """The fault of the earliest layer, once the run is over; None when every beat came and was right.

    Beats are missing only if the run was given up because nothing came any more, not if it was cut short.
    """
    for stream, fault in enumerate(checker.faults):
        if fault is not None:
            return fault
        if gave_up and _is_stuck(checker, stream):
            return checker.fault(MISSING, stream, cycle)
    behind = [stream for stream in range(len(checker.totals)) if not checker.is_complete(stream)]
    if gave_up and (circle := _circle(checker, behind)):
        return _deadlock(checker, circle, cycle)
    # no stream in particular holds the others up: name the first that is late
    return checker.fault(MISSING, behind[0], cycle) if behind else None


def _is_offered(checker: Checker, read: Read) -> bool:
    """Return whether the source offers a beat that this reader has not accepted."""
    return checker.waiting[read.source] and not checker.taken[read.source] >> read.slot & 1


def _is_stuck(checker: Checker, stream: int) -> bool:
    """Return whether a stream is late through its own layer: each input complete or on offer, and itself not held
    up.
    """
    if checker.is_complete(stream) or checker.waiting[stream]:
        return False
    sources = checker.network.sources[stream]
    return all(checker.is_complete(read.source) or _is_offered(checker, read) for read in sources)


def _waits_for(checker: Checker, stream: int) -> list[int]:
    """Return the streams that a stream waits for: readers that do not accept its beat, or else inputs that do not
    come.
    """
    if checker.waiting[stream]:
        return [read.reader for read in checker.network.readers[stream] if _is_offered(checker, read)]
    sources = checker.network.sources[stream]
    return [r.source for r in sources if not (checker.is_complete(r.source) or _is_offered(checker, r))]


def _circle(checker: Checker, behind: list[int]) -> list[int]:
    """Streams that wait for each other, each for the next and the last for the first; empty when there are none."""
    finished: set[int] = set()

    def search(path: list[int]) -> list[int]:
        for stream in _waits_for(checker, path[-1]):
            if stream in path:
                return path[path.index(stream) :]
            if stream not in finished and (found := search([*path, stream])):
                return found
        finished.add(path[-1])
        return []

    return next(filter(None, (search([stream]) for stream in behind)), [])


def _deadlock(checker: Checker, circle: list[int], cycle: int) -> Fault:
    """The fault of a circle: that of the first join in it, which refuses one input because another does not come."""
    network = checker.network
    before = [circle[-1], *circle[:-1]]
    after = [*circle[1:], circle[0]]
    joins = [
        (join, full, missing)
        for full, join, missing in zip(before, circle, after, strict=True)
        if checker.waiting[full] and not checker.waiting[join]
    ]
    join, full, missing = min(joins)
    depth = next(r.fifo for r in network.readers[full] if r.reader == join and _is_offered(checker, r))
    room = f"the FIFO of {depth} beats" if depth else "the edge"
    detail = f"deadlock: it waits for a beat of {network.name(missing)} while {room} from {network.name(full)} is full"
    return checker.fault(DEADLOCK, join, cycle, detail=detail)
