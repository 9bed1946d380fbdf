"""The host's side of the serial protocol (docs/host_link.md): frames of the network in, results out, over a line that
may lose or damage any byte.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from dnn2fpga.errors import UserError
from rtl_lib.host.link_protocol import FLAG, POSITIONS, VERSION, Answer, Deframer, Identity, Kind, Request

TAGS = 256
LEAST_FRAMES, MOST_FRAMES = 2, 16  # on the way at a time; far fewer than there are tags
SMALLEST_PAYLOAD, LARGEST_PAYLOAD = 16, 240  # bytes
GOOD_ANSWERS_TO_GROW = 8
FIRST_TIMEOUT_S = 1.0
SHORTEST_TIMEOUT_S = 0.02
MOST_SILENCE_S = 10.0
RESULTS_SILENCE_S = 60.0  # answers come, but no result does


class Port(Protocol):
    """A serial port, or anything that is used like one (pyserial's names)."""

    def write(self, data: bytes, /) -> int | None: ...

    def read(self, size: int = 1, /) -> bytes:
        """Up to ``size`` bytes, at once when there are any; else after the port's own short timeout, none."""
        ...

    @property
    def in_waiting(self) -> int: ...

    def reset_input_buffer(self) -> None: ...


class DeviceWasReset(Exception):
    """The device does not know the session any more."""


@dataclass
class Statistics:
    """The statistics of a link's transfers. ``resent_bytes`` of the input stream went over the line more than once."""

    frames_sent: int = 0
    answers: int = 0
    damaged_answers: int = 0
    refused_frames: int = 0
    timeouts: int = 0
    resets: int = 0
    resent_bytes: int = 0


@dataclass
class _Flight:
    """A frame on the way."""

    tag: int
    sent_at: float


@dataclass
class _Streams:
    """Absolute positions in both streams of a session."""

    data: bytes
    accepted: int = 0  # by the device
    released: int = 0  # into the accelerator
    sent: int = 0
    furthest: int = 0  # that was ever sent
    results: bytearray = field(default_factory=bytearray)


class Link:
    """One session with a device at a time. Nothing is believed but what has the right CRC, session and position."""

    def __init__(self, port: Port, seed: int | None = None) -> None:
        self.port = port
        self.statistics = Statistics()
        self._random = random.Random(seed)
        self._deframer = Deframer()
        self._session = 0
        self._tag = 0
        self._payload = 64
        self._good_answers = 0
        self._round_trip_s = FIRST_TIMEOUT_S / 4
        self._fresh: Identity | None = None  # nothing has gone over the streams of the session yet

    def open(self) -> Identity:
        """Begin a session: the device resets the accelerator and says what it is.

        :raises UserError: when nobody answers, or in another version of the protocol.
        """
        self._session = self._random.choice([s for s in range(1, TAGS) if s != self._session])
        self.port.reset_input_buffer()
        self._deframer = Deframer()
        give_up = time.monotonic() + MOST_SILENCE_S
        while time.monotonic() < give_up:
            self._tag = (self._tag + 1) % TAGS
            # The first flag ends whatever the device took for a frame so far.
            self.port.write(bytes([FLAG]) + Request(Kind.OPEN, self._session, self._tag).encode())
            asked = time.monotonic()
            while time.monotonic() < asked + FIRST_TIMEOUT_S:
                for answer in self._answers():
                    identity = Identity.decode(answer.payload) if answer and answer.kind == Kind.OPENED else None
                    if answer and identity and answer.session == self._session:
                        return self._accept(identity)
        raise UserError(
            f"no answer from the board within {MOST_SILENCE_S:g} s; is it configured with this bitstream, is it the "
            "right port, and is no other program using it?"
        )

    def _accept(self, identity: Identity) -> Identity:
        if identity.version != VERSION:
            raise UserError(
                f"the board speaks version {identity.version} of the protocol, this program version {VERSION}; "
                "build the bitstream again"
            )
        self._fresh = identity
        return identity

    def run(self, frames: Sequence[bytes], result_bytes: int) -> Iterator[bytes]:
        """The result of every frame, in order. A device that was reset in between is given the rest again.

        :param result_bytes: of one result.
        """
        done = 0
        while done < len(frames):
            # Streams of an earlier run, or of one that was given up, are somewhere in the middle.
            buffer_bytes = (self._fresh or self.open()).buffer_bytes
            self._fresh = None
            try:
                for result in self._transfer(
                    b"".join(frames[done:]), (len(frames) - done) * result_bytes, result_bytes, buffer_bytes
                ):
                    yield result
                    done += 1
            except DeviceWasReset:
                self.statistics.resets += 1

    def _transfer(self, data: bytes, wanted: int, result_bytes: int, buffer_bytes: int) -> Iterator[bytes]:
        streams = _Streams(data)
        flights: deque[_Flight] = deque()
        oldest_tag = self._tag  # tags before it are of frames that were given up
        heard = progressed = time.monotonic()
        given = 0
        while given < wanted:
            self._send(streams, flights, buffer_bytes)
            lost = False
            for answer in self._answers():
                heard = time.monotonic()
                before = len(streams.results)
                if answer is None:
                    self._note_loss()
                    flights.clear()  # ask again, without waiting
                    continue
                lost |= self._take(answer, streams, flights, oldest_tag)
                if len(streams.results) > before:
                    progressed = heard
            if self._overdue(flights):
                self.statistics.timeouts += 1
                lost = True
            if lost:
                self._note_loss()
                flights.clear()
                streams.sent = streams.accepted
                oldest_tag = (self._tag + 1) % TAGS
            now = time.monotonic()
            if now > heard + MOST_SILENCE_S:
                raise UserError(f"the board has not answered for {MOST_SILENCE_S:g} s; check the cable and its power")
            if now > progressed + RESULTS_SILENCE_S:
                raise UserError(f"the board answers, but has given no result for {RESULTS_SILENCE_S:g} s; reset it")
            while len(streams.results) - given >= result_bytes:
                yield bytes(streams.results[given : given + result_bytes])
                given += result_bytes

    def _send(self, streams: _Streams, flights: deque[_Flight], buffer_bytes: int) -> None:
        """Send all that may be on the way; an empty frame, as a question, when that is nothing."""
        # After a loss everything sent later was in vain: on a bad line little is on the way.
        most = max(LEAST_FRAMES, MOST_FRAMES * self._payload // LARGEST_PAYLOAD)
        while len(flights) < most:
            room = buffer_bytes - (streams.sent - streams.released)
            payload = streams.data[streams.sent : streams.sent + min(self._payload, room)]
            if not payload and flights:
                return
            self._tag = (self._tag + 1) % TAGS
            position, taken = streams.sent % POSITIONS, len(streams.results) % POSITIONS
            self.port.write(Request(Kind.DATA, self._session, self._tag, position, taken, payload).encode())
            flights.append(_Flight(self._tag, time.monotonic()))
            self.statistics.frames_sent += 1
            self.statistics.resent_bytes += min(len(payload), streams.furthest - streams.sent)
            streams.sent += len(payload)
            streams.furthest = max(streams.furthest, streams.sent)

    def _answers(self) -> Iterator[Answer | None]:
        """Yield the answers that have arrived; None for a damaged frame."""
        data = self.port.read(max(1, self.port.in_waiting))
        for content in self._deframer.feed(data):
            answer = Answer.decode(content) if content is not None else None
            self.statistics.answers += answer is not None
            self.statistics.damaged_answers += answer is None
            yield answer

    def _take(self, answer: Answer, streams: _Streams, flights: deque[_Flight], oldest_tag: int) -> bool:
        """Record what the answer says; return whether input must be sent again."""
        if answer.kind == Kind.OPENED:
            return False  # to an OPEN that was sent twice
        if answer.session != self._session or answer.kind == Kind.NO_SESSION:
            raise DeviceWasReset
        accepted = streams.accepted + (answer.expected - streams.accepted) % POSITIONS
        if accepted > streams.furthest:
            return False  # older than what is known already
        streams.accepted = accepted
        streams.sent = max(streams.sent, accepted)
        streams.released += (answer.released - streams.released) % POSITIONS
        ahead = (len(streams.results) - answer.position) % POSITIONS
        streams.results += answer.payload[ahead:] if ahead < len(answer.payload) else b""
        is_new = (answer.tag - oldest_tag) % TAGS < TAGS // 2
        self._land(answer.tag, flights)
        if answer.kind == Kind.ACCEPTED:
            self._good_answers += 1
            if self._good_answers >= GOOD_ANSWERS_TO_GROW:
                self._payload, self._good_answers = min(2 * self._payload, LARGEST_PAYLOAD), 0
            return False
        self.statistics.refused_frames += 1
        just_before = (answer.tag + 1 - oldest_tag) % TAGS < TAGS // 2
        return is_new or (answer.kind == Kind.BAD_FRAME and just_before)

    def _land(self, tag: int, flights: deque[_Flight]) -> None:
        """The frames up to ``tag`` have arrived."""
        if tag in (flight.tag for flight in flights):
            while True:
                flight = flights.popleft()
                if flight.tag == tag:
                    break
            self._round_trip_s += (time.monotonic() - flight.sent_at - self._round_trip_s) / 8

    def _overdue(self, flights: deque[_Flight]) -> bool:
        timeout = min(max(4 * self._round_trip_s, SHORTEST_TIMEOUT_S), FIRST_TIMEOUT_S)
        return bool(flights) and time.monotonic() > flights[-1].sent_at + timeout

    def _note_loss(self) -> None:
        self._payload, self._good_answers = max(self._payload // 2, SMALLEST_PAYLOAD), 0
