"""The functional model of the host link: what the device says to requests (rtl_lib.host.link_protocol)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rtl_lib.host.link_protocol import LATENCY_BYTES, POSITIONS, Answer, Deframer, Identity, Kind, Request

SMALLEST_BUFFER, LARGEST_BUFFER = 512, 16384  # bytes
RESULT_BYTES = 32  # of results in one answer; a long frame would seldom survive a bad line


@dataclass(frozen=True, kw_only=True)
class LinkSizes:
    """The streams of the accelerator: bytes per beat, and beats per frame, in and out.

    :param timed_outside: whether others say when a frame begins and ends: of an accelerator with several inputs or
        outputs, whose bytes pass `rtl_lib.host.link_ports` first.
    """

    input_beat_bytes: int
    input_beats: int
    output_beat_bytes: int
    output_beats: int
    clock_hz: int
    cycles_per_bit: int
    design: bytes
    timed_outside: bool = False

    @property
    def input_bytes(self) -> int:
        """The bytes of an input frame."""
        return self.input_beat_bytes * self.input_beats

    @property
    def result_bytes(self) -> int:
        """The bytes of an output frame, with its latency."""
        return self.output_beat_bytes * self.output_beats + LATENCY_BYTES

    @property
    def input_buffer(self) -> int:
        """Bytes: two frames, while that is not too much."""
        return _buffer(self.input_bytes)

    @property
    def output_buffer(self) -> int:
        return _buffer(self.result_bytes)

    @property
    def awaited_bytes(self) -> int:
        """The bytes of a frame that must be there before it begins: all of it, if it fits."""
        return self.input_bytes if self.input_bytes <= self.input_buffer else 1

    @property
    def identity(self) -> Identity:
        return Identity(self.input_buffer, self.clock_hz, self.design[:8])


def _buffer(frame_bytes: int) -> int:
    wanted = max(2 * frame_bytes, SMALLEST_BUFFER)
    return min(1 << (wanted - 1).bit_length(), LARGEST_BUFFER)


class HostLinkModel:
    """Bytes of the line in, bytes of the line out, as if everything else took no time."""

    def __init__(self, spec: LinkSizes, network: Callable[[bytes], bytes]) -> None:
        self.spec = spec
        self.network = network
        self.deframer = Deframer()
        self.tag = 0
        self._open(0)

    def _open(self, session: int) -> None:
        self.session = session
        self.expected = self.released = self.taken = 0
        self.waiting, self.results = b"", b""

    def feed(self, data: bytes) -> bytes:
        """Return the device's answers to ``data``."""
        return b"".join(self._answer(content) for content in self.deframer.feed(data))

    def _answer(self, content: bytes | None) -> bytes:
        kind = self._judge(Request.decode(content) if content is not None else None)
        payload = self.spec.identity.encode() if kind is Kind.OPENED else self.results[:RESULT_BYTES]
        return Answer(kind, self.session, self.tag, self.expected, self.released, self.taken, payload).encode()

    def _judge(self, request: Request | None) -> Kind:
        if request is None or request.kind not in (Kind.OPEN, Kind.DATA):
            return Kind.BAD_FRAME
        self.tag = request.tag
        if request.kind == Kind.OPEN:
            self._open(request.session)
            return Kind.OPENED
        if request.session != self.session or self.session == 0:
            return Kind.NO_SESSION
        newly_taken = (request.taken - self.taken) % POSITIONS
        if newly_taken <= len(self.results):
            self.results = self.results[newly_taken:]
            self.taken = request.taken
        room = self.spec.input_buffer - len(self.waiting)
        if request.position != self.expected or len(request.payload) > room:
            return Kind.WRONG_POSITION
        self.expected = (self.expected + len(request.payload)) % POSITIONS
        self.waiting += request.payload
        self._run()
        return Kind.ACCEPTED

    def _run(self) -> None:
        size = self.spec.input_bytes
        while len(self.waiting) >= size:
            self.results += self.network(self.waiting[:size])
            self.waiting = self.waiting[size:]
            self.released = (self.released + size) % POSITIONS
