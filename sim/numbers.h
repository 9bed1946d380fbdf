// Vector files, mapped into memory, and how their numbers are laid into signals.

#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <string>

#include "give_up.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "payloads are compared as little-endian bytes");

// Verilator keeps a signal of w bits in 1, 2, 4 or 8 bytes, or in as many 32-bit words as it takes.
static size_t signal_bytes(size_t bits) { return bits <= 8 ? 1 : bits <= 16 ? 2 : bits <= 32 ? 4 : bits <= 64 ? 8 : (bits + 31) / 32 * 4; }

// The numbers of one boundary as they lie in the file, mapped into memory, and how to lay them into a signal.
class Numbers {
public:
    size_t lanes = 0, width = 0, element_bytes = 0, beats = 0;
    bool is_signed = false;

    void map(const std::string& path, size_t first_frame, size_t frames) {
        const int file = open(path.c_str(), O_RDONLY);
        struct stat info {};
        if (file < 0 || fstat(file, &info) != 0) give_up(path + ": cannot be read");
        if (static_cast<size_t>(info.st_size) < (first_frame + frames) * beats * beat_bytes()) give_up(path + ": is too short");
        void* data = mmap(nullptr, info.st_size, PROT_READ, MAP_PRIVATE, file, 0);
        if (data == MAP_FAILED) give_up(path + ": cannot be mapped");
        close(file);
        m_data = static_cast<const uint8_t*>(data) + first_frame * beats * beat_bytes();
    }
    size_t beat_bytes() const { return lanes * element_bytes; }
    const uint8_t* beat(size_t n) const { return m_data + n * beat_bytes(); }

    // Lay beat n into a signal whose lanes are lane_bits wide, each number extended or cut to them.
    void pack(size_t n, size_t lane_bits, uint8_t* signal, size_t bytes) const {
        const uint8_t* source = beat(n);
        if (lane_bits == 8 * element_bytes) {  // then the file and the signal look alike
            std::memcpy(signal, source, lanes * element_bytes);
            std::memset(signal + lanes * element_bytes, 0, bytes - lanes * element_bytes);
            return;
        }
        const uint64_t mask = (uint64_t{1} << lane_bits) - 1;
        uint64_t pending = 0;
        size_t bits = 0, at = 0;
        for (size_t lane = 0; lane < lanes; ++lane) {
            pending |= (number(source + lane * element_bytes) & mask) << bits;
            for (bits += lane_bits; bits >= 8; bits -= 8, pending >>= 8) signal[at++] = static_cast<uint8_t>(pending);
        }
        if (bits > 0) signal[at++] = static_cast<uint8_t>(pending);
        std::memset(signal + at, 0, bytes - at);
    }

private:
    const uint8_t* m_data = nullptr;
    uint64_t number(const uint8_t* at) const {
        int64_t value = 0;
        switch (element_bytes) {
            case 1: value = is_signed ? static_cast<int8_t>(*at) : *at; break;
            case 2: { uint16_t u; std::memcpy(&u, at, 2); value = is_signed ? static_cast<int16_t>(u) : u; break; }
            default: { uint32_t u; std::memcpy(&u, at, 4); value = is_signed ? static_cast<int32_t>(u) : static_cast<int64_t>(u); break; }
        }
        // a number that its format cannot hold would be cut to fit, and then look right
        const int64_t low = is_signed ? -(int64_t{1} << (width - 1)) : 0;
        const int64_t high = (int64_t{1} << (is_signed ? width - 1 : width)) - 1;
        if (value < low || value > high) give_up("a vector file holds " + std::to_string(value) + ", which its format cannot hold");
        return static_cast<uint64_t>(value);
    }
};
