// Bulk simulation: streams the frames of a vector folder through the compiled design as fast as it goes, compares every beat at every
// boundary and at the output, and writes what it found as JSON. Started by bulk.py, which also writes the plan file that is read here:
//
//   frames <first> <count>
//   stalls <source> <sink> <seed> <interval>   each of them never, random, burst or (the sink only) full
//   limits <patience> <drain>                  in cycles
//   input <lanes> <width> <lane_bits>
//   output <lanes> <width> <lane_bits>
//   boundary <lanes> <width> <element_bytes> <signed> <beats> <path of the vector file>      one line a boundary, in network order
//
// Usage: bulk <plan> <result.json> <progress file> [plusargs]

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "Vtop.h"
#include "verilated.h"
#include "verilated_syms.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "payloads are compared as little-endian bytes");

// Called by Verilator's run time where a design asks for $time.
double sc_time_stamp() { return 0; }

[[noreturn]] static void give_up(const std::string& message) {
    std::fprintf(stderr, "%s\n", message.c_str());
    std::exit(2);
}

// ---------------------------------------------------------------- stalls: the same generator and patterns as in stalls.py

class Stalls {
public:
    Stalls(const std::string& how, uint32_t seed, uint64_t interval)
        : m_random{how == "random"}, m_burst{how == "burst"}, m_full{how == "full"}, m_interval{interval} {
        m_state = (seed + 1) * 0x9E3779B1u;
        if (m_state == 0) m_state = 1;
        for (int i = 0; i < 8; ++i) draw();
        if (m_burst) m_left = burst();
    }
    // idle: for how many cycles nothing has entered the design
    bool next(uint64_t idle) {
        if (m_random) return draw() >= 0x80000000u;
        if (m_full) {
            if (m_left == 0 && idle <= m_interval) return true;
            if (m_left == 0) m_left = 1 + draw() % (2 * m_interval);
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
    bool m_random, m_burst, m_full, m_stalled = false;
    uint64_t m_interval;
    uint32_t m_state = 1, m_left = 0;
    uint32_t burst() {
        const uint32_t longest = 1u << draw() % 8;
        return 1 + draw() % longest;
    }
    uint32_t draw() {
        m_state ^= m_state << 13;
        m_state ^= m_state >> 17;
        m_state ^= m_state << 5;
        return m_state;
    }
};

// ---------------------------------------------------------------- vectors and payloads

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

// ---------------------------------------------------------------- one stream: a boundary or the output

struct Stream {
    const Numbers* numbers = nullptr;
    size_t lane_bits = 0, total = 0, bytes = 0, count = 0;
    const uint8_t* payload = nullptr;
    const CData* valid = nullptr;
    const CData* ready = nullptr;
    bool waiting = false;
    uint64_t waited_cycles = 0, first_cycle = 0, first_frame_end = 0, last_end = 0, end_before = 0, end_before_that = 0;
    std::vector<uint8_t> expected;

    // the first fault
    std::string fault, detail, got;
    size_t fault_frame = 0, fault_beat = 0;
    uint64_t fault_cycle = 0;

    void open(const Numbers* source, size_t bits, size_t frames) {
        numbers = source;
        lane_bits = bits;
        total = frames * source->beats;
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
    // A beat passes: returns whether it was one of those that must come.
    bool take(uint64_t cycle) {
        if (count >= total) {
            blame("extra beat", cycle);
            return false;
        }
        numbers->pack(count, lane_bits, expected.data(), bytes);
        if (std::memcmp(payload, expected.data(), bytes) != 0) blame("wrong value", cycle);
        if (count == 0) first_cycle = cycle;
        if (++count % numbers->beats == 0) {
            if (count == numbers->beats) first_frame_end = cycle;
            end_before_that = end_before;
            end_before = last_end;
            last_end = cycle;
        }
        return true;
    }
};

// ---------------------------------------------------------------- the run

class Bench {
public:
    Bench(const char* plan_path, int argc, char** argv) : m_top{&m_context} {
        m_context.commandArgs(argc, argv);  // before the first eval(), which is when a design reads its plusargs
        read_plan(plan_path);
        for (size_t k = 0; k < m_numbers.size(); ++k) {
            Stream& stream = m_streams[k];
            stream.open(m_numbers[k].get(), m_numbers[k]->width, m_frames);
            const std::string name = "boundary_" + std::to_string(k) + "_";
            stream.payload = find(name + "payload", stream.bytes);
            stream.valid = find(name + "valid", 1);
            stream.ready = find(name + "ready", 1);
        }
        Stream& output = m_streams.back();
        output.open(m_numbers.back().get(), m_output_lane_bits, m_frames);
        output.payload = reinterpret_cast<const uint8_t*>(&m_top.m_axis_tdata);
        output.valid = &m_top.m_axis_tvalid;
        output.ready = &m_top.m_axis_tready;
        if (output.bytes != sizeof m_top.m_axis_tdata) give_up("m_axis_tdata must be as wide as manifest.json says");
        m_word_bytes = sizeof m_top.s_axis_tdata;
        m_input.assign(m_word_bytes + 8, 0);
        if (m_word_bytes != signal_bytes(m_numbers.front()->lanes * m_input_lane_bits)) give_up("s_axis_tdata must be as wide as manifest.json says");
    }

    void run(const char* progress_path) {
        reset();
        const Numbers& input = *m_numbers.front();
        const size_t to_send = m_frames * input.beats;
        size_t sent = 0;
        uint64_t drained = 0, entered = 0;
        bool offering = false;
        for (m_cycle = 0; m_cycle - m_progress_cycle < m_patience && drained <= m_drain && !fault_is_settled(); ++m_cycle) {
            if (!offering && sent < to_send && !m_source->next(0)) {
                offering = true;
                input.pack(sent, m_input_lane_bits, m_input.data(), m_word_bytes);
                std::memcpy(&m_top.s_axis_tdata, m_input.data(), m_word_bytes);
                m_top.s_axis_tlast = (sent + 1) % input.beats == 0;
            }
            m_top.s_axis_tvalid = offering;
            m_top.m_axis_tready = !m_sink->next(m_cycle - entered);
            m_top.aclk = 0;
            m_top.eval();
            if (offering && m_top.s_axis_tready) {
                ++sent;
                entered = m_cycle;
                offering = false;
            }
            sample();
            m_top.aclk = 1;
            m_top.eval();
            if (m_left == 0) ++drained;
            if ((m_cycle & 0xFFF) == 0) report_progress(progress_path);
        }
    }

    void write(const char* path, double seconds) const {
        std::ofstream file{path};
        file << "{\"cycles\": " << m_cycle << ", \"gave_up\": " << (m_cycle - m_progress_cycle >= m_patience ? "true" : "false") << ", \"seconds\": " << seconds
             << ", \"streams\": [";
        for (size_t k = 0; k < m_streams.size(); ++k) {
            const Stream& s = m_streams[k];
            file << (k ? ",\n " : "\n ") << "{\"count\": " << s.count << ", \"waiting\": " << (s.waiting ? "true" : "false")
                 << ", \"waited_cycles\": " << s.waited_cycles << ", \"first_cycle\": " << s.first_cycle << ", \"last_cycle\": " << s.first_frame_end
                 << ", \"two_intervals_cycles\": " << s.last_end - s.end_before_that << ", \"fault\": ";
            if (s.fault.empty()) {
                file << "null}";
            } else {
                file << "{\"kind\": \"" << s.fault << "\", \"frame\": " << s.fault_frame << ", \"beat\": " << s.fault_beat << ", \"cycle\": "
                     << s.fault_cycle << ", \"got\": \"" << s.got << "\", \"detail\": \"" << s.detail << "\"}}";
            }
        }
        file << "]}\n";
        if (!file.flush()) give_up(std::string{path} + ": cannot be written");
    }

private:
    VerilatedContext m_context;
    Vtop m_top;
    std::vector<std::unique_ptr<Numbers>> m_numbers;
    std::vector<Stream> m_streams;
    std::unique_ptr<Stalls> m_source, m_sink;
    std::vector<uint8_t> m_input, m_held;
    size_t m_first = 0, m_frames = 0, m_word_bytes = 0, m_input_lane_bits = 0, m_output_lane_bits = 0, m_left = 0;
    uint64_t m_patience = 0, m_drain = 0, m_cycle = 0, m_progress_cycle = 0;
    bool m_is_held = false, m_held_tlast = false, m_has_fault = false;

    void read_plan(const char* path) {
        std::ifstream file{path};
        if (!file) give_up(std::string{path} + ": cannot be read");
        std::string line, word, how_source, how_sink;
        while (std::getline(file, line)) {
            std::istringstream in{line};
            in >> word;
            size_t lanes, width;
            uint32_t seed;
            uint64_t interval;
            if (word == "frames") in >> m_first >> m_frames;
            if (word == "limits") in >> m_patience >> m_drain;
            if (word == "input") in >> lanes >> width >> m_input_lane_bits;
            if (word == "output") in >> lanes >> width >> m_output_lane_bits;
            if (word == "stalls") {
                in >> how_source >> how_sink >> seed >> interval;
                m_source = std::make_unique<Stalls>(how_source, 2 * seed, interval);
                m_sink = std::make_unique<Stalls>(how_sink, 2 * seed + 1, interval);
            }
            if (word == "boundary") {
                auto n = std::make_unique<Numbers>();
                std::string name;
                in >> n->lanes >> n->width >> n->element_bytes >> n->is_signed >> n->beats >> std::ws;
                std::getline(in, name);
                n->map(name, m_first, m_frames);
                m_numbers.push_back(std::move(n));
            }
            if (!in) give_up(std::string{path} + ": cannot understand: " + line);
        }
        if (m_numbers.empty() || m_frames == 0 || !m_source) give_up(std::string{path} + ": is not complete");
        m_streams.resize(m_numbers.size() + 1);
        for (const auto& n : m_numbers) m_left += m_frames * n->beats;
        m_left += m_frames * m_numbers.back()->beats;
    }

    const uint8_t* find(const std::string& name, size_t bytes) const {
        const VerilatedScope* scope = m_context.scopeFind("TOP.accelerator.network");
        VerilatedVar* var = scope ? scope->varFind(name.c_str()) : nullptr;
        if (!var) give_up("signal network." + name + " was not found in the design: cannot compare it");
        if (var->totalSize() != bytes) give_up("signal network." + name + " must be as wide as manifest.json says");
        return static_cast<const uint8_t*>(var->datap());
    }

    void reset() {
        m_top.aresetn = 0;
        m_top.s_axis_tvalid = 0;
        m_top.s_axis_tlast = 0;
        m_top.m_axis_tready = 0;
        for (int i = 0; i < 5; ++i) {
            m_top.aclk = 0;
            m_top.eval();
            m_top.aclk = 1;
            m_top.eval();
        }
        m_top.aresetn = 1;
    }

    void sample() {
        for (size_t k = 0; k + 1 < m_streams.size(); ++k) sample(m_streams[k]);
        Stream& output = m_streams.back();
        if (m_is_held && !m_top.m_axis_tvalid) {
            output.blame("unstable output", m_cycle, "m_axis_tvalid fell before m_axis_tready came");
        } else if (m_is_held && std::memcmp(output.payload, m_held.data(), output.bytes) != 0) {
            output.blame("unstable output", m_cycle, "m_axis_tdata changed while it waited for m_axis_tready");
        } else if (m_is_held && m_top.m_axis_tlast != m_held_tlast) {
            output.blame("unstable output", m_cycle, "m_axis_tlast changed while it waited for m_axis_tready");
        }
        m_is_held = m_top.m_axis_tvalid && !m_top.m_axis_tready;
        if (m_is_held) {
            m_held.assign(output.payload, output.payload + output.bytes);
            m_held_tlast = m_top.m_axis_tlast;
        }
        const bool last = (output.count + 1) % output.numbers->beats == 0;
        if (m_top.m_axis_tvalid && m_top.m_axis_tready && static_cast<bool>(m_top.m_axis_tlast) != last) {
            output.blame("wrong tlast", m_cycle, last ? "m_axis_tlast must be 1, not 0" : "m_axis_tlast must be 0, not 1");
        }
        sample(output);
    }

    void sample(Stream& stream) {
        const bool passes = *stream.valid && *stream.ready;
        stream.waiting = *stream.valid && !*stream.ready;
        if (passes && stream.take(m_cycle)) {
            --m_left;
            m_progress_cycle = m_cycle;
        }
        stream.waited_cycles += stream.waiting;
        m_has_fault |= !stream.fault.empty();
    }

    // A fault was seen, and its frame is over everywhere: no earlier layer can have spoilt it any more.
    bool fault_is_settled() const {
        if (!m_has_fault) return false;
        size_t frame = m_frames;
        for (const Stream& s : m_streams) {
            if (!s.fault.empty() && s.fault_frame < frame) frame = s.fault_frame;
        }
        for (const Stream& s : m_streams) {
            if (s.count < s.total && s.count < (frame + 1) * s.numbers->beats) return false;
        }
        return frame < m_frames;
    }

    void report_progress(const char* path) const {
        std::ofstream{path} << m_streams.back().count / m_streams.back().numbers->beats << "\n";
    }
};

int main(int argc, char** argv) {
    if (argc < 4) give_up("usage: bulk <plan> <result.json> <progress file> [plusargs]");
    auto bench = std::make_unique<Bench>(argv[1], argc, argv);
    const auto start = std::chrono::steady_clock::now();
    bench->run(argv[3]);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    bench->write(argv[2], seconds.count());
    return 0;
}
