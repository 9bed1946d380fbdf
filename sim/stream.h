// One stream whose beats are compared: a boundary or an output port.

#pragma once

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "numbers.h"
#include "verilated.h"

struct Stream {
    const Numbers* numbers = nullptr;
    size_t lane_bits = 0, total = 0, bytes = 0, count = 0;
    const uint8_t* payload = nullptr;
    const CData* valid = nullptr;
    const CData* ready = nullptr;
    const uint8_t* taken = nullptr;  // by which readers, where several read
    size_t taken_bytes = 0;
    bool waiting = false;
    uint64_t waited_cycles = 0, first_cycle = 0, first_frame_end = 0;
    std::vector<uint64_t> ends;  // of the frames of the latest period and the one before it, in turn
    std::vector<uint8_t> expected;

    // the first fault
    std::string fault, detail, got;
    size_t fault_frame = 0, fault_beat = 0;
    uint64_t fault_cycle = 0;

    void open(const Numbers* source, size_t bits, size_t frames, size_t period) {
        numbers = source;
        lane_bits = bits;
        total = frames * source->beats;
        ends.assign(period + 1, 0);
        bytes = signal_bytes(source->lanes * bits);
        // the last byte of pack() may lie beyond a signal of the exact size
        expected.assign(bytes + 8, 0);
    }
    void blame(const char* kind, uint64_t cycle, const std::string& why = "") {
        if (!fault.empty()) return;
        fault = kind;
        detail = why;
        fault_frame = count / numbers->beats;
        fault_beat = count % numbers->beats;
        fault_cycle = cycle;
        char digits[3];
        for (size_t i = bytes; i-- > 0; got += digits) std::snprintf(digits, sizeof digits, "%02x", payload[i]);
    }
    // Looks at the signals in one cycle; returns whether a beat passes that is one of those that must come.
    bool sample(uint64_t cycle) {
        const bool passes = *valid && *ready;
        waiting = *valid && !*ready;
        waited_cycles += waiting;
        if (!passes || !compare(cycle)) return false;
        if (count == 0) first_cycle = cycle;
        if (++count % numbers->beats == 0) {
            if (count == numbers->beats) first_frame_end = cycle;
            ends[count / numbers->beats % ends.size()] = cycle;
        }
        return true;
    }
    // The run ends: what is still on offer must be right as well, because some of its readers may have taken it.
    void finish(uint64_t cycle) {
        if (waiting) compare(cycle);
    }
    // Whether the beat on offer is one of those that must come; a wrong one is blamed.
    bool compare(uint64_t cycle) {
        if (count >= total) {
            blame("extra beat", cycle);
            return false;
        }
        numbers->pack(count, lane_bits, expected.data(), bytes);
        if (std::memcmp(payload, expected.data(), bytes) != 0) blame("wrong value", cycle);
        return true;
    }
    void write(std::ostream& file) const {
        const size_t frames = count / numbers->beats;
        uint64_t bits = 0;
        if (waiting && taken) std::memcpy(&bits, taken, taken_bytes < sizeof bits ? taken_bytes : sizeof bits);
        file << "{\"count\": " << count << ", \"waiting\": " << (waiting ? "true" : "false") << ", \"taken\": " << bits
             << ", \"waited_cycles\": " << waited_cycles << ", \"first_cycle\": " << first_cycle << ", \"last_cycle\": " << first_frame_end
             << ", \"period_cycles\": " << ends[frames % ends.size()] - ends[(frames + 1) % ends.size()] << ", \"fault\": ";
        if (fault.empty()) {
            file << "null}";
        } else {
            file << "{\"kind\": \"" << fault << "\", \"frame\": " << fault_frame << ", \"beat\": " << fault_beat << ", \"cycle\": " << fault_cycle
                 << ", \"got\": \"" << got << "\", \"detail\": \"" << detail << "\"}}";
        }
    }
};
