"""The host's side of the protocol against the functional model of the device: nothing but right answers, whatever the
line does.
"""

from __future__ import annotations

import random
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnn2fpga.drive import link as link_module
from dnn2fpga.drive.link import Link
from dnn2fpga.drive.noise import NoisyPort
from dnn2fpga.errors import UserError
from rtl_lib.host.host_link import HostLinkSpec
from rtl_lib.host.link_model import HostLinkModel
from rtl_lib.host.link_protocol import ESCAPE, FLAG, Answer, Deframer, Identity, Kind, Request, framed

SPEC = HostLinkSpec(
    input_beat_bytes=2,
    input_beats=20,
    output_beat_bytes=3,
    output_beats=2,
    clock_hz=50_000_000,
    cycles_per_bit=8,
    design=b"designed",
)


def network(frame: bytes) -> bytes:
    """A result that tells frames apart, and a latency."""
    return zlib.crc32(frame).to_bytes(4, "little") + frame[:2] + (123).to_bytes(4, "little")


class Clock:
    """Time passes with what is read, and most of it while nothing comes, however busy this machine is."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


CLOCK = Clock()


class ModelPort:
    """The functional model at the other end of a line without delay."""

    def __init__(self, spec: HostLinkSpec = SPEC) -> None:
        self.spec = spec
        self.device: HostLinkModel = spec.model(network)
        self.waiting = b""
        self.written = 0
        self.reset_after: int | None = None  # bytes

    def write(self, data: bytes) -> int:
        self.written += len(data)
        if self.reset_after is not None and self.written > self.reset_after:
            self.device, self.reset_after = self.spec.model(network), None
        self.waiting += self.device.feed(data)
        return len(data)

    def read(self, size: int = 1) -> bytes:
        data, self.waiting = self.waiting[:size], self.waiting[size:]
        CLOCK.now += 1e-5 if data else 1e-3
        return data

    @property
    def in_waiting(self) -> int:
        return len(self.waiting)

    def reset_input_buffer(self) -> None:
        self.waiting = b""


def frames(count: int, seed: int = 0) -> list[bytes]:
    rng = random.Random(seed)
    return [rng.randbytes(SPEC.input_bytes) for _ in range(count)]


@pytest.fixture(autouse=True)
def timeless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "time", CLOCK)
    monkeypatch.setattr(link_module, "FIRST_TIMEOUT_S", 0.01)
    monkeypatch.setattr(link_module, "SHORTEST_TIMEOUT_S", 0.0005)


# --- frames on the line


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=5))
def test_frames_come_back(contents: list[bytes]) -> None:
    assert list(Deframer().feed(b"".join(map(framed, contents)))) == contents


@given(st.binary(max_size=300))
def test_special_bytes_are_escaped(content: bytes) -> None:
    line = framed(content)
    assert line[0] == line[-1] == FLAG
    assert FLAG not in line[1:-1]
    assert line[1:-1].count(ESCAPE) == sum(
        byte in (FLAG, ESCAPE) for byte in content + zlib.crc32(content).to_bytes(4, "little")
    )


@given(st.binary(max_size=100), st.binary(min_size=1, max_size=60))
def test_after_garbage_and_a_flag_frames_are_understood(garbage: bytes, content: bytes) -> None:
    found = list(Deframer().feed(garbage + bytes([FLAG]) + framed(content)))
    assert found[-1] == content


@given(st.binary(min_size=1, max_size=60), st.integers(0, 10_000), st.integers(1, 255))
def test_one_changed_byte_is_noticed(content: bytes, where: int, change: int) -> None:
    line = bytearray(framed(content))
    line[where % len(line)] ^= change
    # A flag in the middle of a frame leaves its end without a beginning; that, too, must not look like a frame.
    assert content not in [found for found in Deframer().feed(bytes(line)) if found is not None] or where % len(
        line
    ) in (
        0,
        len(line) - 1,
    )


def test_lost_and_changed_escapes_end_no_frame_well() -> None:
    line = framed(b"a~b}c")
    for k in range(1, len(line) - 1):
        assert list(Deframer().feed(line[:k] + line[k + 1 :])) in ([None], [None, None])
    assert list(Deframer().feed(bytes([FLAG]) + b"abc" + bytes([ESCAPE, FLAG]))) == [None]


@given(
    st.builds(Request, st.integers(0, 255), st.integers(0, 255), st.integers(0, 255), payload=st.binary(max_size=255))
)
def test_requests_come_back(request: Request) -> None:
    (content,) = Deframer().feed(request.encode())
    assert content is not None
    assert Request.decode(content) == request
    assert Request.decode(content + b"x") is None
    assert Request.decode(content[:3]) is None


# --- sessions


@pytest.mark.parametrize("count", [1, 3, 200])
def test_results_in_order_without_a_byte_too_many(count: int) -> None:
    port = ModelPort()
    link = Link(port, seed=1)
    assert link.open() == Identity(SPEC.input_buffer, 50_000_000, b"designed")
    given_frames = frames(count)
    assert list(link.run(given_frames, SPEC.result_bytes)) == [network(frame) for frame in given_frames]
    assert link.statistics.resent_bytes == link.statistics.timeouts == link.statistics.refused_frames == 0


def test_one_run_after_the_other() -> None:
    link = Link(ModelPort(), seed=1)
    for seed in range(3):
        given_frames = frames(5, seed)
        assert list(link.run(given_frames, SPEC.result_bytes)) == [network(frame) for frame in given_frames]


def test_a_run_that_is_given_up() -> None:
    link = Link(ModelPort(), seed=1)
    given_frames = frames(5)
    next(link.run(given_frames, SPEC.result_bytes))
    assert list(link.run(given_frames, SPEC.result_bytes)) == [network(frame) for frame in given_frames]


def test_positions_that_have_gone_around() -> None:
    link = Link(ModelPort(), seed=1)
    given_frames = frames(4000)  # 160,000 bytes
    assert list(link.run(given_frames, SPEC.result_bytes)) == [network(frame) for frame in given_frames]


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.sampled_from([0.001, 0.01, 0.05]))
def test_a_bad_line(seed: int, share: float) -> None:
    line = NoisyPort(ModelPort(), share, seed)
    link = Link(line, seed)
    given_frames = frames(20, seed)
    assert list(link.run(given_frames, SPEC.result_bytes)) == [network(frame) for frame in given_frames]


def test_a_bad_line_is_noticed() -> None:
    line = NoisyPort(ModelPort(), 0.02, 1)
    link = Link(line, 1)
    list(link.run(frames(50), SPEC.result_bytes))
    assert line.corrupted > 50
    assert link.statistics.refused_frames > 10
    assert link.statistics.damaged_answers > 10


@pytest.mark.parametrize("bytes_before", [300, 1000, 2000])
def test_a_device_that_is_reset_in_between(bytes_before: int) -> None:
    port = ModelPort()
    port.reset_after = bytes_before
    link = Link(port, 1)
    given_frames = frames(60)
    assert list(link.run(given_frames, SPEC.result_bytes)) == [network(frame) for frame in given_frames]
    assert link.statistics.resets == 1


def test_garbage_in_the_buffers_of_the_machine() -> None:
    port = ModelPort()
    stale = Answer(Kind.OPENED, 7, 1, 0, 0, 0, Identity(1, 2, b"an older").encode())
    port.waiting = stale.encode()
    port.device.feed(b"\x7e\x01\x02 half a frame of a program that was stopped")
    link = Link(port, 1)
    assert link.open().design == b"designed"


def test_nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silence(ModelPort):
        def write(self, data: bytes) -> int:
            return len(data)

    monkeypatch.setattr(link_module, "MOST_SILENCE_S", 0.05)
    with pytest.raises(UserError, match="no answer from the board within"):
        Link(Silence(), 1).open()


def test_it_falls_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    port = ModelPort()
    link = Link(port, 1)
    link.open()
    monkeypatch.setattr(link_module, "MOST_SILENCE_S", 0.05)
    monkeypatch.setattr(port.device, "feed", lambda data: b"")
    with pytest.raises(UserError, match="has not answered"):
        list(link.run(frames(1), SPEC.result_bytes))


def test_it_answers_but_gives_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    port = ModelPort()
    link = Link(port, 1)
    link.open()
    monkeypatch.setattr(link_module, "RESULTS_SILENCE_S", 0.05)
    monkeypatch.setattr(port.device, "_run", lambda: None)
    with pytest.raises(UserError, match="has given no result"):
        list(link.run(frames(1), SPEC.result_bytes))


def test_another_version_of_the_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "VERSION", 2)
    with pytest.raises(UserError, match="speaks version 1 of the protocol, this program version 2"):
        Link(ModelPort(), 1).open()


def test_the_model_refuses_what_it_has_no_room_for() -> None:
    device = SPEC.model(network)
    device.feed(Request(Kind.OPEN, 9, 0).encode())
    device._run = lambda: None  # type: ignore[method-assign]
    for tag, (position, kind) in enumerate([(0, Kind.ACCEPTED), (255, Kind.ACCEPTED), (510, Kind.WRONG_POSITION)]):
        (content,) = Deframer().feed(device.feed(Request(Kind.DATA, 9, tag, position, 0, bytes(255)).encode()))
        answer = Answer.decode(content or b"")
        assert answer is not None
        assert answer.kind == kind
