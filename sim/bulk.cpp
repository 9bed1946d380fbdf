// Bulk simulation: streams the frames of a vector folder through the compiled design as fast as it goes, compares every beat at every
// boundary and at every output, and writes what it found as JSON. Started by bulk.py, which also writes the plan file that is read here:
//
//   frames <first> <count>
//   stalls <source> <sink> <seed> <interval>   each of them never, random, burst or turns, or (the sinks only) full
//   limits <patience> <drain>                  in cycles
//   period <frames>                            after which the distances between frames repeat
//   boundary <tensor> <readers> <lanes> <width> <element_bytes> <signed> <beats> <path of the vector file>     in topological order
//   input <axis> <number of its boundary> <lane_bits>
//   output <axis> <number of its boundary> <lane_bits>
//
// Usage: bulk <plan> <result.json> <progress file> [plusargs]

#include <chrono>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "Vtop.h"
#include "ends.h"
#include "give_up.h"
#include "numbers.h"
#include "stalls.h"
#include "stream.h"
#include "verilated.h"
#include "verilated_syms.h"

// Called by Verilator's run time where a design asks for $time.
double sc_time_stamp() { return 0; }

class Bench {
public:
    Bench(const char* plan_path, int argc, char** argv) : m_top{&m_context} {
        m_context.commandArgs(argc, argv);  // before the first eval(), which is when a design reads its plusargs
        read_plan(plan_path);
    }

    void run(const char* progress_path) {
        reset();
        uint64_t drained = 0, entered = 0;
        for (m_cycle = 0; m_cycle - m_progress_cycle < m_patience && drained <= m_drain && !fault_is_settled(); ++m_cycle) {
            const size_t starved = m_starved->next(m_cycle - m_progress_cycle), refusing = m_refusing->next(m_cycle - m_progress_cycle);
            for (size_t k = 0; k < m_sources.size(); ++k) m_sources[k].drive(k == starved);
            for (size_t k = 0; k < m_sinks.size(); ++k) m_sinks[k].drive(k == refusing, m_cycle - entered);
            m_top.aclk = 0;
            m_top.eval();
            for (Source& source : m_sources) {
                if (!source.sample()) continue;
                if (!m_has_begun) m_origin = m_cycle;
                m_has_begun = true;
                entered = m_cycle;
            }
            for (size_t k = 0; k < m_numbers.size(); ++k) note(m_streams[k], m_streams[k].sample(m_cycle));
            for (Sink& sink : m_sinks) note(*sink.stream, sink.sample(m_cycle));
            m_top.aclk = 1;
            m_top.eval();
            if (m_left == 0) ++drained;
            if ((m_cycle & 0xFFF) == 0) report_progress(progress_path);
        }
        for (size_t k = 0; k < m_numbers.size(); ++k) m_streams[k].finish(m_cycle);
    }

    void write(const char* path, double seconds) const {
        std::ofstream file{path};
        file << "{\"cycles\": " << m_cycle << ", \"gave_up\": " << (m_cycle - m_progress_cycle >= m_patience ? "true" : "false")
             << ", \"origin\": " << m_origin << ", \"seconds\": " << seconds << ", \"streams\": [";
        for (size_t k = 0; k < m_streams.size(); ++k) {
            file << (k ? ",\n " : "\n ");
            m_streams[k].write(file);
        }
        file << "]}\n";
        if (!file.flush()) give_up(std::string{path} + ": cannot be written");
    }

private:
    VerilatedContext m_context;
    Vtop m_top;
    std::vector<std::unique_ptr<Numbers>> m_numbers;  // of the boundaries
    std::vector<Stream> m_streams;                    // the boundaries, then the outputs
    std::vector<Source> m_sources;
    std::vector<Sink> m_sinks;
    std::unique_ptr<Turns> m_starved, m_refusing;
    size_t m_first = 0, m_frames = 0, m_period = 0, m_left = 0;
    uint64_t m_patience = 0, m_drain = 0, m_cycle = 0, m_progress_cycle = 0, m_origin = 0;
    bool m_has_begun = false, m_has_fault = false;

    struct PlannedBoundary {
        std::string tensor;
        size_t readers;
    };
    struct PlannedPort {
        std::string axis;
        size_t boundary, lane_bits;
    };

    void read_plan(const char* path) {
        std::ifstream file{path};
        if (!file) give_up(std::string{path} + ": cannot be read");
        std::vector<PlannedBoundary> boundaries;
        std::vector<PlannedPort> inputs, outputs;
        std::string line, word, how_source, how_sink;
        uint32_t seed = 0;
        uint64_t interval = 0;
        while (std::getline(file, line)) {
            std::istringstream in{line};
            in >> word;
            if (word == "frames") in >> m_first >> m_frames;
            if (word == "limits") in >> m_patience >> m_drain;
            if (word == "period") in >> m_period;
            if (word == "stalls") in >> how_source >> how_sink >> seed >> interval;
            if (word == "boundary") {
                auto n = std::make_unique<Numbers>();
                PlannedBoundary b;
                std::string name;
                in >> b.tensor >> b.readers >> n->lanes >> n->width >> n->element_bytes >> n->is_signed >> n->beats >> std::ws;
                std::getline(in, name);
                n->map(name, m_first, m_frames);
                m_numbers.push_back(std::move(n));
                boundaries.push_back(b);
            }
            if (word == "input" || word == "output") {
                PlannedPort port;
                in >> port.axis >> port.boundary >> port.lane_bits;
                (word == "input" ? inputs : outputs).push_back(port);
            }
            if (!in) give_up(std::string{path} + ": cannot understand: " + line);
        }
        if (m_numbers.empty() || m_frames == 0 || interval == 0 || m_period == 0 || inputs.empty() || outputs.empty()) give_up(std::string{path} + ": is not complete");
        m_streams.resize(boundaries.size() + outputs.size());
        for (size_t k = 0; k < boundaries.size(); ++k) watch(k, boundaries[k]);
        m_starved = std::make_unique<Turns>(how_source, 2 * seed, inputs.size(), interval);
        m_refusing = std::make_unique<Turns>(how_sink, 2 * seed + 1, outputs.size(), interval);
        for (size_t k = 0; k < inputs.size(); ++k) {
            Source source{named(input_ports(m_top), k, inputs[k].axis), m_numbers[inputs[k].boundary].get(), inputs[k].lane_bits};
            source.to_send = m_frames * source.numbers->beats;
            source.stalls = std::make_unique<Stalls>(how_source, 2 * (seed + (static_cast<uint32_t>(k) << 16)), interval);
            source.word.assign(source.port.bytes + 8, 0);
            require_width(source.port, source.numbers->lanes * source.lane_bits);
            m_sources.push_back(std::move(source));
        }
        for (size_t k = 0; k < outputs.size(); ++k) {
            Stream& stream = m_streams[boundaries.size() + k];
            Sink sink{named(output_ports(m_top), k, outputs[k].axis), &stream};
            stream.open(m_numbers[outputs[k].boundary].get(), outputs[k].lane_bits, m_frames, m_period);
            stream.payload = sink.port.tdata;
            stream.valid = sink.port.tvalid;
            stream.ready = sink.port.tready;
            sink.stalls = std::make_unique<Stalls>(how_sink, 2 * (seed + (static_cast<uint32_t>(k) << 16)) + 1, interval);
            require_width(sink.port, stream.numbers->lanes * stream.lane_bits);
            m_sinks.push_back(std::move(sink));
        }
        for (const Stream& s : m_streams) m_left += s.total;
    }

    static AxiPort named(const std::vector<AxiPort>& ports, size_t k, const std::string& axis) {
        if (k >= ports.size() || ports[k].axis != axis) give_up("the harness was built for other ports than " + axis);
        return ports[k];
    }

    static void require_width(const AxiPort& port, size_t bits) {
        if (port.bytes != signal_bytes(bits)) give_up(port.axis + "_tdata must be as wide as manifest.json says");
    }

    void watch(size_t k, const PlannedBoundary& boundary) {
        Stream& stream = m_streams[k];
        stream.open(m_numbers[k].get(), m_numbers[k]->width, m_frames, m_period);
        const std::string name = "boundary_" + boundary.tensor + "_";
        stream.payload = find(name + "payload", stream.bytes);
        stream.valid = find(name + "valid", 1);
        stream.ready = find(name + "ready", 1);
        if (boundary.readers > 1) {
            stream.taken_bytes = signal_bytes(boundary.readers);
            stream.taken = find(name + "taken", stream.taken_bytes);
        }
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
        for (Source& source : m_sources) *source.port.tvalid = *source.port.tlast = 0;
        for (Sink& sink : m_sinks) *sink.port.tready = 0;
        for (int i = 0; i < 5; ++i) {
            m_top.aclk = 0;
            m_top.eval();
            m_top.aclk = 1;
            m_top.eval();
        }
        m_top.aresetn = 1;
    }

    void note(const Stream& stream, bool passed) {
        if (passed) {
            --m_left;
            m_progress_cycle = m_cycle;
        }
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
        size_t frames = m_frames;
        for (const Sink& sink : m_sinks) {
            const size_t done = sink.stream->count / sink.stream->numbers->beats;
            if (done < frames) frames = done;
        }
        std::ofstream{path} << frames << "\n";
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
