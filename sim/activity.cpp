// Activity: streams words through the design, round and round without a stall, and counts how often the bits of its registers toggle.
// Started by activity.py, which has made the registers public and nothing else.
//
// Usage: activity <result.json> <warm-up cycles> <measured cycles> <words>...      words: of each input, tdata beat after beat

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "Vtop.h"
#include "axi_ports.h"
#include "give_up.h"
#include "verilated.h"
#include "verilated_syms.h"

// Called by Verilator's run time where a design asks for $time.
double sc_time_stamp() { return 0; }

// Offers words to an input port, round and round.
struct Source {
    AxiPort port;
    std::vector<char> words;
    size_t at = 0;

    Source(const AxiPort& to, const char* path) : port{to} {
        std::ifstream file{path, std::ios::binary};
        words.assign(std::istreambuf_iterator<char>{file}, {});
        if (words.empty() || words.size() % port.bytes != 0) give_up(port.axis + "_tdata must be as wide as manifest.json says");
    }
    void drive() { std::memcpy(port.tdata, &words[at], port.bytes); }
    void sample() {
        if (*port.tvalid && *port.tready) at = (at + port.bytes) % words.size();
    }
};

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
    explicit Bench(const std::vector<const char*>& words_paths) : m_top{&m_context}, m_sinks{output_ports(m_top)} {
        const std::vector<AxiPort> inputs = input_ports(m_top);
        if (inputs.size() != words_paths.size()) give_up("words are needed for each of the inputs");
        for (size_t k = 0; k < inputs.size(); ++k) m_sources.emplace_back(inputs[k], words_paths[k]);
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
        for (AxiPort& sink : m_sinks) *sink.tready = 1;
        for (int i = 0; i < 5; ++i) cycle();
        m_top.aresetn = 1;
        for (Source& source : m_sources) *source.port.tvalid = 1;
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
    std::vector<Source> m_sources;
    std::vector<AxiPort> m_sinks;
    std::vector<Scope> m_scopes;
    uint64_t m_output_beats = 0;

    void cycle() {
        for (Source& source : m_sources) source.drive();
        m_top.aclk = 0;
        m_top.eval();
        for (Source& source : m_sources) source.sample();
        for (const AxiPort& sink : m_sinks) m_output_beats += *sink.tvalid;
        m_top.aclk = 1;
        m_top.eval();
    }
};

int main(int argc, char** argv) {
    if (argc < 5) give_up("usage: activity <result.json> <warm-up cycles> <measured cycles> <words>...");
    const uint64_t measured = std::strtoull(argv[3], nullptr, 10);
    auto bench = std::make_unique<Bench>(std::vector<const char*>(argv + 4, argv + argc));
    bench->run(std::strtoull(argv[2], nullptr, 10), measured);
    bench->write(argv[1], measured);
    return 0;
}
