"""Networks of timing models: the event engine against a loop over every part in every cycle; reports of deadlocks."""

from __future__ import annotations

import copy
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtl_lib.core.branch_timing import ForkStageModel, GatedJoinModel, JoinPipelineModel, SequencerModel
from rtl_lib.core.timing import PipelineModel, ReduceModel, StageModel
from rtl_lib.core.timing_network import TimingNetwork
from rtl_lib.core.trace import Deadlock, period_of, trace
from rtl_lib.image.window_schedule import Padding, WindowSchedule, WindowsModel
from rtl_lib.matrix.folded.sums import FoldedModel
from rtl_lib.streams.fifo import FifoModel

FRAMES = 4


def plain_passes(network: TimingNetwork, patience: int = 3000) -> dict[str, list[int]]:
    """The oracle: by tensor, the cycles in which its beats pass, until ``FRAMES`` frames have left at every sink, or
    nothing has for ``patience`` cycles where some are missing.
    """
    nodes = network.nodes
    ready = [False] * len(network.producers)
    taken = {s: 0 for watch in network.watches.values() for s in watch.streams}
    passes: dict[str, list[int]] = {name: [] for name in network.watches}
    cycle = quiet = 0
    lacking = network.ends
    while lacking and quiet < patience:
        valid = [offers for node in nodes for offers in node.part.valids()]
        given = [(tuple(valid[s] for s in node.inputs), node) for node in nodes]
        for input_valids, node in reversed(given):
            readys = node.part.readys(input_valids, tuple(ready[s] for s in node.outputs))
            for stream, takes in zip(node.inputs, readys, strict=True):
                ready[stream] = takes
        quiet += 1
        for s, (offers, takes) in enumerate(zip(valid, ready, strict=True)):
            if s in taken:
                taken[s] += offers and takes
        for name, watch in network.watches.items():
            if min(taken[s] for s in watch.streams) > len(passes[name]):
                passes[name].append(cycle)
                quiet = 0 if name in lacking else quiet
        lacking = [name for name in lacking if len(passes[name]) < FRAMES * network.watches[name].beats]
        for input_valids, node in given:
            node.part.advance(input_valids, tuple(ready[s] for s in node.outputs))
        cycle += 1
    return passes


SAME = Padding(1, 1, 1, 1)
IMAGES = {12: (4, 3), 6: (3, 2), 4: (2, 2), 2: (2, 1)}  # beats: height and width
HALVES = {12: 4, 6: 2, 4: 1, 2: 1}  # beats after a window of stride 2


@st.composite
def networks(draw: st.DrawFn) -> TimingNetwork:
    """Any acyclic network: every step reads streams that are open and leaves others open."""
    network = TimingNetwork()
    open_streams: list[tuple[int, int]] = []  # (stream, beats per frame)

    def tensor(stream: int, beats: int) -> None:
        network.watch(f"t{len(network.watches)}", stream, beats)
        open_streams.append((stream, beats))

    for _ in range(draw(st.integers(1, 3))):
        beats = draw(st.sampled_from([12, 12, 6]))
        tensor(network.source(beats, draw(st.sampled_from([0, 0, 20, 70]))), beats)
    for _ in range(draw(st.integers(1, 12))):
        stream, beats = open_streams.pop(draw(st.integers(0, len(open_streams) - 1)))
        latency = draw(st.integers(1, 12))
        same = [other for other in open_streams if other[1] == beats]
        match draw(
            st.sampled_from(["fork", "fork", "pipeline", "stage", "fifo", "windows", "held", "join", "gate", "turns"])
        ):
            case "fork":
                readers = network.add(ForkStageModel(n := draw(st.integers(2, 3))), stream)
                network.watch(f"t{len(network.watches)}", readers, beats)
                open_streams += [(reader, beats) for reader in readers[:n]]
            case "stage":
                tensor(network.add(StageModel(), stream), beats)
            case "fifo":
                tensor(network.add(FifoModel(draw(st.integers(2, 30))), stream), beats)
            case "windows" if beats in IMAGES:
                two = draw(st.booleans())
                schedule = WindowSchedule(*IMAGES[beats], (3, 3), (1 + two, 1 + two), SAME)
                size = schedule.output_size
                tensor(network.add(WindowsModel(schedule), stream), size[0] * size[1])
            case "held":
                tensor(network.add(FoldedModel(latency, 1, draw(st.integers(1, 30)), False), stream), beats)
            case "join" if same:
                others = same[: draw(st.integers(1, len(same)))]
                for other in others:
                    open_streams.remove(other)
                joined = [stream, *(other for other, _ in others)]
                tensor(network.add(JoinPipelineModel(latency, len(joined)), *joined), beats)
            case "gate" if open_streams:
                gate, of_gate = open_streams[draw(st.integers(0, len(open_streams) - 1))]
                if beats % of_gate == 0:
                    open_streams.remove((gate, of_gate))
                    tensor(network.add(GatedJoinModel(latency, beats // of_gate), stream, gate), beats)
                else:
                    tensor(network.add(ReduceModel(latency, beats), stream), 1)
            case "turns" if open_streams:
                other, of_other = open_streams.pop(draw(st.integers(0, len(open_streams) - 1)))
                joined = network.add(SequencerModel(latency, [beats, of_other]), stream, other)
                tensor(joined, beats + of_other)
            case _:
                tensor(network.add(PipelineModel(latency), stream), beats)
    for stream, _ in open_streams:
        network.sink(stream)
    return network


@settings(max_examples=400, deadline=None)
@given(networks())
def test_every_cycle_is_that_of_the_plain_loop(network: TimingNetwork) -> None:
    """First and last cycle of every tensor; and it is a deadlock of one where it is one of the other."""
    passes = plain_passes(copy.deepcopy(network))
    if any(len(passes[name]) < FRAMES * network.watches[name].beats for name in network.ends):
        with pytest.raises(Deadlock):
            trace(network)
        return
    sources = {
        network.producers[s] for s in range(len(network.producers)) if not network.nodes[network.producers[s]].inputs
    }
    entries = [name for name, watch in network.watches.items() if network.producers[watch.streams[0]] in sources]
    start = min(passes[name][0] for name in entries)
    for name, passage in trace(network).items():
        beats = network.watches[name].beats
        assert passage.first_cycle == passes[name][0] - start
        assert passage.last_cycle == passes[name][beats - 1] - start


def residual(depth: int, beats: int = 12) -> TimingNetwork:
    """A long path that holds beats back, and a queue beside it."""
    network = TimingNetwork()
    entry = network.source(beats)
    network.watch("input", entry, beats)
    long, skip = network.add(ForkStageModel(2), entry)
    network.watch("forked", (long, skip), beats)
    windows = network.add(WindowsModel(WindowSchedule(4, 3, (3, 3), (1, 1), SAME)), long, name="windows")
    queue = network.add(FifoModel(depth), skip, name="queue")
    joined = network.add(JoinPipelineModel(2, 2), windows, queue, name="sum")
    network.watch("sum", joined, beats)
    network.sink(joined)
    return network


def test_a_tensor_passes_when_its_last_reader_takes_it() -> None:
    passes = plain_passes(residual(6))
    assert passes["forked"][0] > passes["input"][0]
    found = trace(residual(6))
    assert found["input"].first_cycle == 0
    assert found["forked"].first_cycle == passes["forked"][0] - passes["input"][0]
    assert found["sum"].last_cycle == passes["sum"][11] - passes["input"][0]


def test_a_deadlock_names_the_join_the_missing_input_and_the_full_queue() -> None:
    message = "nothing moves: the design would deadlock: sum waits for forked; queue is full"
    with pytest.raises(Deadlock, match=message) as caught:
        trace(residual(2))
    assert caught.value.waiting == (("sum", ("forked",)),)
    assert caught.value.full == ("queue",)


def test_a_network_is_checked() -> None:
    network = TimingNetwork()
    entry = network.source(4)
    with pytest.raises(ValueError, match="every stream must be read, not left open after Source 0"):
        trace(network)
    with pytest.raises(ValueError, match="must read 2 streams, not 1"):
        network.add(JoinPipelineModel(1, 2), entry)
    network.sink(entry)
    with pytest.raises(ValueError, match="a stream must be read once"):
        network.add(StageModel(), entry)
    with pytest.raises(ValueError, match="what enters a sink must be watched, also after Source 0"):
        trace(network)
    network.watch("x", entry, 4)
    with pytest.raises(ValueError, match="watched once, not 'x' twice"):
        network.watch("x", entry, 4)


def test_groups_that_nothing_connects_run_each_to_its_own_end() -> None:
    network = TimingNetwork()
    for name, beats in [("a", 3), ("b", 50)]:
        stream = network.add(StageModel(), network.source(beats))
        network.watch(name, stream, beats)
        network.sink(stream)
    assert [passage.interval_cycles for passage in trace(network).values()] == [3, 50]


def test_outputs_keep_the_same_pace_once_what_lies_between_them_is_full() -> None:
    """One output runs ahead of another by as many frames as the FIFO before a slow layer holds."""
    network = TimingNetwork()
    fast, slow = network.add(ForkStageModel(2), network.source(beats=4))
    network.watch("fast", fast, 4)
    network.sink(fast)
    slow = network.add(ReduceModel(1, 4), slow)
    slow = network.add(FoldedModel(1, 1, 30, False), network.add(FifoModel(9), slow))
    network.watch("slow", slow, 1)
    network.sink(slow)
    passages = trace(network)
    assert passages["slow"].interval_cycles == passages["fast"].interval_cycles
    assert passages["slow"].steady_frames > 9


@pytest.mark.parametrize(
    ("distances", "period"),
    [
        ([[7, 5, 5, 5, 5]], 1),
        ([[5, 5, 5]], 0),  # too few
        ([[24, 36, 24, 36]], 2),
        ([[9, 24, 24, 36, 24, 24, 36]], 3),
        ([[24, 24, 36, 24, 24]], 0),
        ([[5, 5, 5, 5], [4, 6, 4, 6]], 2),
        ([[5, 5, 5, 5], [4, 6, 4, 7]], 0),
    ],
)
def test_distances_repeat_in_all_tensors(distances: list[list[int]], period: int) -> None:
    assert period_of([[0, *itertools.accumulate(one)] for one in distances]) == period


def test_a_slow_layer_that_has_a_lead_is_not_overlooked() -> None:
    """Frames leave at the pace of a bottleneck that comes first, until a slower layer's lead is used up."""
    network = TimingNetwork()
    late, early = network.add(ForkStageModel(2), network.source(beats=1))
    late = network.add(PipelineModel(100), network.add(FoldedModel(1, 1, 50, False), late))
    early = network.add(FoldedModel(1, 1, 51, False), network.add(FifoModel(4), early))
    early = network.add(FifoModel(60), early)
    both = network.add(JoinPipelineModel(2, 2), late, early)
    network.watch("sum", both, 1, busy_cycles=51)
    network.sink(both)
    passage = trace(network)["sum"]
    assert passage.interval_cycles == 51
    assert passage.interval_frames == 1
