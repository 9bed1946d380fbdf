// Activity: streams words through the design, round and round without a stall, and counts how often the bits of its registers toggle.
// Started by activity.py, which has made the registers public and nothing else.
//
// Usage: activity <words> <result.json> <warm-up cycles> <measured cycles>      words: s_axis_tdata, beat after beat

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "Vtop.h"
#include "verilated.h"
#include "verilated_syms.h"

// Called by Verilator's run time where a design asks for $time.
double sc_time_stamp() { return 0; }

[[noreturn]] static void give_up(const std::string& message) {
    std::fprintf(stderr, "%s\n", message.c_str());
    std::exit(2);
}

// The registers of one instance, side by side.
struct Scope {
    struct Register {
        const uint8_t* now;
        size_t at, bytes;
    };
    std::string name;
    std::vector<Register> registers;
    std::vector<uint8_t> before;
    uint64_t bits = 0, toggles = 0;

    void add(const VerilatedVar& var) {
        registers.push_back({static_cast<const uint8_t*>(var.datap()), before.size(), var.totalSize()});
        before.resize(before.size() + var.totalSize());
        bits += var.entBits();
    }
    void remember() {
        for (const Register& r : registers) std::memcpy(&before[r.at], r.now, r.bytes);
    }
    // Bits beside the width of a register are always 0.
    void count() {
        for (const Register& r : registers) {
            for (size_t i = 0; i < r.bytes; i += 8) {
                const size_t n = r.bytes - i < 8 ? r.bytes - i : 8;
                uint64_t now = 0, then = 0;
                std::memcpy(&now, r.now + i, n);
                std::memcpy(&then, &before[r.at + i], n);
                toggles += __builtin_popcountll(now ^ then);
            }
        }
        remember();
    }
};

class Bench {
public:
    explicit Bench(const char* words_path) : m_top{&m_context} {
        std::ifstream file{words_path, std::ios::binary};
        m_words.assign(std::istreambuf_iterator<char>{file}, {});
        if (m_words.empty() || m_words.size() % sizeof m_top.s_axis_tdata != 0) give_up("s_axis_tdata must be as wide as manifest.json says");
        for (const auto& [name, scope] : *m_context.scopeNameMap()) {
            if (!scope->varsp()) continue;
            Scope found;
            found.name = name;
            for (const auto& [_, var] : *scope->varsp()) {
                if (!var.isParam()) found.add(var);
            }
            if (found.bits) m_scopes.push_back(std::move(found));
        }
    }

    void run(uint64_t warm_up, uint64_t measured) {
        m_top.m_axis_tready = 1;
        for (int i = 0; i < 5; ++i) cycle();
        m_top.aresetn = 1;
        m_top.s_axis_tvalid = 1;
        for (uint64_t i = 0; i < warm_up; ++i) cycle();
        for (Scope& scope : m_scopes) scope.remember();
        m_output_beats = 0;
        for (uint64_t i = 0; i < measured; ++i) {
            cycle();
            for (Scope& scope : m_scopes) scope.count();
        }
    }

    void write(const char* path, uint64_t measured) const {
        std::ofstream file{path};
        file << "{\"cycles\": " << measured << ", \"output_beats\": " << m_output_beats << ", \"scopes\": {";
        for (size_t k = 0; k < m_scopes.size(); ++k) {
            file << (k ? ",\n " : "\n ") << '"' << m_scopes[k].name << "\": [" << m_scopes[k].bits << ", " << m_scopes[k].toggles << "]";
        }
        file << "}}\n";
        if (!file.flush()) give_up(std::string{path} + ": cannot be written");
    }

private:
    VerilatedContext m_context;
    Vtop m_top;
    std::vector<char> m_words;
    std::vector<Scope> m_scopes;
    size_t m_at = 0;
    uint64_t m_output_beats = 0;

    void cycle() {
        std::memcpy(&m_top.s_axis_tdata, &m_words[m_at], sizeof m_top.s_axis_tdata);
        m_top.aclk = 0;
        m_top.eval();
        if (m_top.s_axis_tvalid && m_top.s_axis_tready) m_at = (m_at + sizeof m_top.s_axis_tdata) % m_words.size();
        m_output_beats += m_top.m_axis_tvalid;
        m_top.aclk = 1;
        m_top.eval();
    }
};

int main(int argc, char** argv) {
    if (argc != 5) give_up("usage: activity <words> <result.json> <warm-up cycles> <measured cycles>");
    const uint64_t measured = std::strtoull(argv[4], nullptr, 10);
    auto bench = std::make_unique<Bench>(argv[1]);
    bench->run(std::strtoull(argv[3], nullptr, 10), measured);
    bench->write(argv[2], measured);
    return 0;
}
