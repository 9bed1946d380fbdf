// The ends of a simulated design: what offers beats at an input port, and what takes them at an output port.

#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "axi_ports.h"
#include "numbers.h"
#include "stalls.h"
#include "stream.h"

// Offers the beats of an input port.
struct Source {
    AxiPort port;
    const Numbers* numbers = nullptr;
    size_t lane_bits = 0, to_send = 0, sent = 0;
    std::unique_ptr<Stalls> stalls;
    bool offering = false;
    std::vector<uint8_t> word;

    void drive(bool starve) {
        if (!offering && sent < to_send && !starve && !stalls->next(0)) {
            offering = true;
            numbers->pack(sent, lane_bits, word.data(), port.bytes);
            std::memcpy(port.tdata, word.data(), port.bytes);
            *port.tlast = (sent + 1) % numbers->beats == 0;
        }
        *port.tvalid = offering;
    }
    // Whether a beat is taken in this cycle.
    bool sample() {
        if (!offering || !*port.tready) return false;
        ++sent;
        offering = false;
        return true;
    }
};

// Takes the beats of an output port, and demands that what it refuses stays on offer.
struct Sink {
    AxiPort port;
    Stream* stream = nullptr;
    std::unique_ptr<Stalls> stalls;
    bool is_held = false, held_tlast = false;
    std::vector<uint8_t> held;

    void drive(bool refuse, uint64_t idle) {
        const bool stalled = stalls->next(idle);
        *port.tready = !refuse && !stalled;
    }
    bool sample(uint64_t cycle) {
        if (is_held && !*port.tvalid) {
            unstable(cycle, "_tvalid fell before ");
        } else if (is_held && std::memcmp(port.tdata, held.data(), port.bytes) != 0) {
            unstable(cycle, "_tdata changed while it waited for ");
        } else if (is_held && *port.tlast != held_tlast) {
            unstable(cycle, "_tlast changed while it waited for ");
        }
        is_held = *port.tvalid && !*port.tready;
        if (is_held) {
            held.assign(port.tdata, port.tdata + port.bytes);
            held_tlast = *port.tlast;
        }
        const bool last = (stream->count + 1) % stream->numbers->beats == 0;
        if (*port.tvalid && *port.tready && static_cast<bool>(*port.tlast) != last) {
            stream->blame("wrong tlast", cycle, port.axis + (last ? "_tlast must be 1, not 0" : "_tlast must be 0, not 1"));
        }
        return stream->sample(cycle);
    }
    void unstable(uint64_t cycle, const std::string& what) {
        const bool fell = what.find("fell") != std::string::npos;
        stream->blame("unstable output", cycle, port.axis + what + port.axis + (fell ? "_tready came" : "_tready"));
    }
};
