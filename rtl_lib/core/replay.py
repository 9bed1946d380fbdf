"""The loop over cycles of a trace, compiled."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit
from numba.core import cgutils
from numba.extending import intrinsic

from rtl_lib.core.machine_code import WORD, kept
from rtl_lib.core.rules import FOREVER


def _inlined(function):  # type: ignore[no-untyped-def]
    return njit(forceinline=True)(function)


class Wires(NamedTuple):
    """The constant part of a replay. Lists of lists are flat, with the place where each one begins, and the end of the
    last.

    By part; by stream; by watch (a tensor that is observed); by tap (one stream of a watch).
    """

    members: np.ndarray  # the parts that are run, from the last to the first
    rules: np.ndarray  # [parts, 3]
    places: np.ndarray  # address of every part's state
    inputs: np.ndarray  # streams
    inputs_from: np.ndarray
    first_output: np.ndarray  # streams: those of a part follow each other
    outputs: np.ndarray  # how many
    producers: np.ndarray
    consumers: np.ndarray
    taps: np.ndarray  # by stream
    taps_from: np.ndarray
    watch_of: np.ndarray  # by tap
    taps_of_from: np.ndarray  # by watch: its taps follow each other
    beats: np.ndarray  # beats per frame, by watch
    held: np.ndarray  # sources that offer a beat only when nothing else moves
    held_words: np.ndarray  # where in ``words`` it is noted that one is released


class Moments(NamedTuple):
    """The variable part of a replay, beside the states."""

    clock: np.ndarray  # [0]: the present cycle
    valid: np.ndarray  # by stream
    ready: np.ndarray
    since: np.ndarray  # by part: the cycle that its state is that of
    until: np.ndarray  # the cycle in which it must be looked at again
    seen_valids: np.ndarray  # in the last cycle in which it was looked at
    seen_readys: np.ndarray
    taken: np.ndarray  # beats, by tap
    passed: np.ndarray  # beats, by watch
    first: np.ndarray  # cycle of the first beat
    lasts: np.ndarray  # [watches, frames]: cycle of the last beat of every frame


def _call(context, address, place, given):  # type: ignore[no-untyped-def]
    """Call the rule at ``address`` with the state at ``place`` and a tuple of integers."""

    def generated(context, builder, signature, values):  # type: ignore[no-untyped-def]
        word = context.get_value_type(WORD)
        state = word.as_pointer()
        function = ir.FunctionType(word, [state, *[word] * given.count])
        code = builder.inttoptr(values[0], function.as_pointer())
        rest = cgutils.unpack_tuple(builder, values[2], given.count)
        return builder.call(code, [builder.inttoptr(values[1], state), *rest])

    return WORD(address, place, given), generated


call: Any = intrinsic(_call)


@_inlined
def _passes(stream, cycle, taps_from, taps, watch_of, taps_of_from, beats, taken, passed, first, lasts):  # type: ignore[no-untyped-def]
    """Count a beat of a stream. A beat of a tensor passes when the last of its readers accepts it."""
    for place in range(taps_from[stream], taps_from[stream + 1]):
        tap = taps[place]
        watch = watch_of[tap]
        taken[tap] += 1
        least = taken[tap]
        for other in range(taps_of_from[watch], taps_of_from[watch + 1]):
            least = min(least, taken[other])
        if least > passed[watch]:
            if least == 1:
                first[watch] = cycle
            passed[watch] = least
            frame = least // beats[watch]
            if least == frame * beats[watch] and frame <= lasts.shape[1]:
                lasts[watch, frame - 1] = cycle


@_inlined
def _release(cycle, wires, moments, words):  # type: ignore[no-untyped-def]
    """Now that all rest, has sources that wait for that offer one beat more; whether there are any."""
    released = False
    for j in range(len(wires.held)):
        k, word = wires.held[j], wires.held_words[j]
        if words[word] == 0:
            words[word] = 1
            place, stream = wires.places[k], wires.first_output[k]
            call(wires.rules[k, 2], place, (0, 0, cycle - moments.since[k]))
            moments.since[k] = cycle
            if call(wires.rules[k, 0], place, ()):
                moments.valid[stream] = 1
                moments.until[k] = moments.until[wires.consumers[stream]] = cycle
                released = True
    return released


def _run(wires, moments, words, watches, frames, longest_rest):  # type: ignore[no-untyped-def]
    """Run until ``frames`` frames of the ``watches`` have passed.

    Only those parts are looked at around which something happens: the others rest, until their rest is over, or until
    one that they read offers, or one that reads them accepts, something else than before. Meanwhile ``valid`` and
    ``ready`` of their streams stand for them, and cycles in which all rest are skipped.

    :param words: the states.
    :returns: whether it reached them; else nothing moves any more.
    """
    # (Numba is slow where it looks into a tuple of arrays within a loop.)
    members, rules, places, inputs, inputs_from, first_outputs, output_counts, producers, consumers = wires[:9]
    taps, taps_from, watch_of, taps_of_from, beats = wires[9:14]
    clock, valid, ready, since, until, seen_valids, seen_readys, taken, passed, first, lasts = moments
    cycle = clock[0]
    done = 0
    while True:
        while done < len(watches) and passed[watches[done]] >= frames * beats[watches[done]]:
            done += 1
        if done == len(watches):
            break
        nearest = FOREVER
        for k in members:
            if until[k] > cycle:
                nearest = min(nearest, until[k])
                continue
            # The ready of what reads it is that of this cycle, the valid of what it reads is not yet that of the next.
            place = places[k]
            if since[k] < cycle:
                call(rules[k, 2], place, (seen_valids[k], seen_readys[k], cycle - since[k]))
            start, end = inputs_from[k], inputs_from[k + 1]
            first_output, outputs = first_outputs[k], output_counts[k]
            valids = readys = offered = 0
            for j in range(end - start):
                valids |= valid[inputs[start + j]] << j
            for j in range(outputs):
                readys |= ready[first_output + j] << j
                offered |= valid[first_output + j] << j
            accepted = call(rules[k, 1], place, (valids, readys))
            for j in range(end - start):
                stream, accepts = inputs[start + j], accepted >> j & 1
                if accepts != ready[stream]:
                    ready[stream] = accepts
                    until[producers[stream]] = min(until[producers[stream]], cycle)  # it is still to come
                if accepts & valid[stream]:
                    _passes(stream, cycle, taps_from, taps, watch_of, taps_of_from, beats, taken, passed, first, lasts)
            rest = min(call(rules[k, 2], place, (valids, readys, 1)), longest_rest)
            since[k], seen_valids[k], seen_readys[k] = cycle + 1, valids, readys
            offers = call(rules[k, 0], place, ())
            if (accepted & valids) | (offered & readys) | (offers & readys):
                rest = 0
            until[k] = cycle + 1 + rest
            nearest = min(nearest, until[k])
            if offers != offered:
                for j in range(outputs):
                    if (offers ^ offered) >> j & 1:
                        valid[first_output + j] ^= 1
                        until[consumers[first_output + j]] = nearest = cycle + 1
        cycle = cycle + 1 if nearest >= FOREVER else nearest
        if nearest >= FOREVER and not _release(cycle, wires, moments, words):
            break
    clock[0] = cycle
    return done == len(watches)


run = kept(lambda function, cache: njit(cache=cache)(function), _run)
