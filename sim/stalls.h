// Stall patterns: the same generator and patterns as in stalls.py, so that a seed means the same in both.

#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

class Xorshift32 {
public:
    explicit Xorshift32(uint32_t seed) : m_state{(seed + 1) * 0x9E3779B1u} {
        if (m_state == 0) m_state = 1;
        for (int i = 0; i < 8; ++i) next();
    }
    uint32_t next() {
        m_state ^= m_state << 13;
        m_state ^= m_state >> 17;
        m_state ^= m_state << 5;
        return m_state;
    }

private:
    uint32_t m_state;
};

// Whether one port stalls, cycle by cycle.
class Stalls {
public:
    Stalls(const std::string& how, uint32_t seed, uint64_t interval)
        : m_draw{seed}, m_random{how == "random"}, m_burst{how == "burst"}, m_full{how == "full"}, m_interval{interval} {
        if (m_burst) m_left = burst();
    }
    // idle: for how many cycles nothing has entered the design
    bool next(uint64_t idle) {
        if (m_random) return m_draw.next() >= 0x80000000u;
        if (m_full) {
            if (m_left == 0 && idle <= m_interval) return true;
            if (m_left == 0) m_left = 1 + m_draw.next() % (2 * m_interval);
            --m_left;
            return false;
        }
        if (!m_burst) return false;
        const bool stalled = m_stalled;
        if (--m_left == 0) {
            m_stalled = !m_stalled;
            m_left = burst();
        }
        return stalled;
    }

private:
    Xorshift32 m_draw;
    bool m_random, m_burst, m_full, m_stalled = false;
    uint64_t m_interval, m_left = 0;
    uint32_t burst() {
        const uint32_t longest = 1u << m_draw.next() % 8;
        return 1 + m_draw.next() % longest;
    }
};

// Which of several ports stalls while all others go on: each in turn, until nothing moves any more.
class Turns {
public:
    static constexpr size_t NONE = SIZE_MAX;

    Turns(const std::string& how, uint32_t seed, size_t ports, uint64_t interval)
        : m_draw{seed}, m_active{how == "turns"}, m_ports{ports}, m_interval{interval} {}
    // rest: for how many cycles no beat has passed anywhere
    size_t next(uint64_t rest) {
        if (!m_active) return NONE;
        if (m_left == 0 && rest <= m_interval) return m_port;
        if (m_left == 0) m_left = 1 + m_draw.next() % (2 * m_interval);
        if (--m_left == 0) m_port = (m_port + 1) % m_ports;
        return NONE;
    }

private:
    Xorshift32 m_draw;
    bool m_active;
    size_t m_ports, m_port = 0;
    uint64_t m_interval, m_left = 0;
};
