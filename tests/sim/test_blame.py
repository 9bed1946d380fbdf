"""The stream to blame: the lowest that is wrong, the one that does not work, or the join of a deadlock."""

from __future__ import annotations

from pathlib import Path

import graph_bundle
import pytest
from blame import verdict
from bundle import load_manifest
from checks import DEADLOCK, EXTRA, MISSING, VALUE, Checker
from vector_files import open_vectors, payloads, words


def make_checker(bundle: Path, wrong: dict[tuple[int, int], int], absent: tuple[int, ...] = ()) -> Checker:
    """A run of one frame with some (stream, beat) wrong, and some streams that end early; later streams come first."""
    checker = Checker(open_vectors(bundle / "sim" / "vectors", load_manifest(bundle)), 1)
    for stream in reversed(range(4)):
        for beat in range(checker.beats[stream] - (stream in absent)):
            expected = payloads(checker.vectors, checker.vectors.manifest.boundaries[stream].tensor)[beat]
            checker.observe(stream, wrong.get((stream, beat), expected), beat)
    return checker


def test_the_earliest_layer_is_to_blame(bundle: Path) -> None:
    fault = verdict(make_checker(bundle, {(3, 0): 1, (1, 4): 0, (1, 5): 0, (2, 0): 0}), 9)
    assert fault is not None
    assert (fault.kind, fault.stream, fault.beat) == (VALUE, 1, 4)


def test_the_first_layer_that_is_behind_is_to_blame(bundle: Path) -> None:
    checker = make_checker(bundle, {}, absent=(2, 3))
    fault = verdict(checker, 9)
    assert fault is not None
    assert (fault.kind, fault.stream, fault.beat) == (MISSING, 2, 5)
    # held up by the next layer, which accepts nothing: then that one is to blame
    checker.wait(2)
    fault = verdict(checker, 9)
    assert fault is not None
    assert fault.stream == 3


@pytest.fixture
def graph_checker(tmp_path: Path) -> Checker:
    """A run of one frame of the graph in which nothing has passed yet."""
    root = graph_bundle.write_bundle(tmp_path / "graph")
    return Checker(open_vectors(root / "sim" / "vectors", load_manifest(root)), 1)


LEFT, RIGHT, TWICE, MIRROR, TOTAL, DIFF, OUT_TWICE, OUT_DIFF = range(8)


def passed(checker: Checker, stream: int, beats: int) -> None:
    """Let a stream's first beats pass."""
    manifest = checker.vectors.manifest
    for n in range(beats):
        if stream >= OUT_TWICE:
            port = manifest.outputs[stream - OUT_TWICE]
            checker.observe_output(stream, words(checker.vectors, port)[n], n == 5, n)
        else:
            checker.observe(stream, payloads(checker.vectors, manifest.boundaries[stream].tensor)[n], n)


def offers(checker: Checker, stream: int, taken: int = 0, wrong: int = 0) -> None:
    """Let a stream's next beat be on offer when the run ends."""
    checker.wait(stream)
    tensor = checker.vectors.manifest.boundaries[stream].tensor
    checker.left_waiting(stream, payloads(checker.vectors, tensor)[checker.counts[stream]] ^ wrong, taken, 9)


@pytest.mark.parametrize(
    ("counts", "waiting", "kind", "stream"),
    [
        # (counts of left, right, twice, mirror, total, diff and the outputs), {stream on offer: taken by which readers}
        # mirror has taken the third beat of twice, for which the FIFO has no room; nothing else has come
        ((5, 0, 2, 0, 0, 0, 2, 0), {LEFT: 0, RIGHT: 0, TWICE: 0b101}, DEADLOCK, TOTAL),
        # mirror has not taken it: then it is mirror that does not work, although the FIFO has it not either
        ((5, 0, 2, 0, 0, 0, 3, 0), {LEFT: 0, RIGHT: 0, TWICE: 0b100}, MISSING, MIRROR),
        # total has both inputs
        ((6, 0, 5, 3, 1, 0, 6, 0), {RIGHT: 0, TWICE: 0b101, MIRROR: 0}, MISSING, TOTAL),
        # diff waits for right, whose source has nothing left to send: so it is right that is stuck
        ((6, 0, 5, 3, 1, 1, 6, 0), {TWICE: 0b101, MIRROR: 0, TOTAL: 0}, MISSING, RIGHT),
        # diff has both inputs
        ((6, 1, 5, 3, 1, 1, 6, 1), {TWICE: 0b101, MIRROR: 0, TOTAL: 0, RIGHT: 0}, MISSING, DIFF),
        # all is complete but for an output port
        ((6, 6, 6, 6, 6, 6, 5, 6), {}, MISSING, OUT_TWICE),
    ],
)
def test_who_holds_the_others_up_is_to_blame(
    graph_checker: Checker, counts: tuple[int, ...], waiting: dict[int, int], kind: str, stream: int
) -> None:
    for number, beats in enumerate(counts):
        passed(graph_checker, number, beats)
    for number, taken in waiting.items():
        offers(graph_checker, number, taken)
    fault = verdict(graph_checker, 9)
    assert fault is not None
    assert (fault.kind, fault.stream, fault.beat) == (kind, stream, counts[stream])


def test_a_run_that_was_cut_short_is_no_deadlock(graph_checker: Checker) -> None:
    for number, beats in enumerate((5, 0, 2, 0, 0, 0, 2, 0)):
        passed(graph_checker, number, beats)
    offers(graph_checker, TWICE, 0b101)
    fault = verdict(graph_checker, 9, gave_up=False)
    assert fault is not None
    assert (fault.kind, fault.stream) == (MISSING, LEFT)


def test_a_beat_that_not_all_readers_have_taken_must_be_right_all_the_same(graph_checker: Checker) -> None:
    """Mirror has made something wrong of a wrong beat that has not passed as a whole."""
    passed(graph_checker, LEFT, 3)
    offers(graph_checker, LEFT)
    offers(graph_checker, RIGHT)
    offers(graph_checker, TWICE, 0b001, wrong=4)
    graph_checker.observe(MIRROR, 12345, 8)
    fault = verdict(graph_checker, 9)
    assert fault is not None
    assert (fault.kind, fault.stream, fault.beat) == (VALUE, TWICE, 0)


def test_extra_beats_are_faults(bundle: Path) -> None:
    checker = make_checker(bundle, {})
    checker.observe(2, 0, 50)
    fault = verdict(checker, 51)
    assert fault is not None
    assert (fault.kind, fault.stream) == (EXTRA, 2)


def test_an_interval_is_told_once_it_is_that_of_an_output_after_it(graph_checker: Checker) -> None:
    """An input that still runs ahead may do so at the pace of an output to which it does not lead."""
    frames = max(5, graph_checker.vectors.manifest.steady_frames)

    def every(cycles: int) -> list[int]:
        return [cycles * frame for frame in range(frames)]

    for stream in range(OUT_DIFF + 1):
        graph_checker.last_cycles[stream] = every(12)
    graph_checker.last_cycles[OUT_TWICE] = every(9)
    graph_checker.last_cycles[LEFT] = graph_checker.last_cycles[RIGHT] = every(9)
    told = graph_checker.measurements()
    assert told["output_interval_cycles"] == [9, 12]
    assert told["interval_cycles"][LEFT] == 9
    assert told["interval_cycles"][RIGHT] is None
    assert told["interval_cycles"][TOTAL] == 12
