// The design of a whole board behind a pseudo-terminal: what a host writes there goes over the simulated serial line into the pin of the
// design, and what the design sends on its pin can be read there. Started by board.py, or by hand:
//
//   board <cycles per bit>      prints the name of the pseudo-terminal; runs until its standard input is closed

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <string>

#include "Vtop.h"
#include "verilated.h"

// Called by Verilator's run time where a design asks for $time.
double sc_time_stamp() { return 0; }

[[noreturn]] static void give_up(const char* message) {
    std::perror(message);
    std::exit(2);
}

class PseudoTerminal {
public:
    PseudoTerminal() {
        m_master = posix_openpt(O_RDWR | O_NOCTTY);
        if (m_master < 0 || grantpt(m_master) != 0 || unlockpt(m_master) != 0) give_up("pseudo-terminal");
        name = ptsname(m_master);
        // Held open, so that the settings stay and a host may come and go.
        m_slave = open(name.c_str(), O_RDWR | O_NOCTTY);
        termios raw{};
        if (m_slave < 0 || tcgetattr(m_slave, &raw) != 0) give_up(name.c_str());
        cfmakeraw(&raw);
        if (tcsetattr(m_slave, TCSANOW, &raw) != 0) give_up(name.c_str());
        fcntl(m_master, F_SETFL, O_NONBLOCK);
    }
    void take(std::deque<uint8_t>& into) {
        uint8_t bytes[4096];
        if (into.size() > sizeof bytes) return;  // the rest waits in the terminal
        const ssize_t count = read(m_master, bytes, sizeof bytes);
        if (count > 0) into.insert(into.end(), bytes, bytes + count);
    }
    void give(std::string& from) {
        if (from.empty()) return;
        const ssize_t count = write(m_master, from.data(), from.size());
        if (count > 0) from.erase(0, count);
    }
    // Waits for the host; false when our own standard input was closed.
    bool wait(int milliseconds) {
        pollfd files[2] = {{m_master, POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
        poll(files, 2, milliseconds);
        char ignored;
        return !(files[1].revents & (POLLIN | POLLHUP)) || read(STDIN_FILENO, &ignored, 1) > 0;
    }
    std::string name;

private:
    int m_master, m_slave;
};

// Bytes → the level of a line, one cycle at a time.
class Sender {
public:
    explicit Sender(uint64_t cycles_per_bit) : m_cycles{cycles_per_bit} {}
    bool level(std::deque<uint8_t>& from) {
        if (m_bits == 0) {
            if (from.empty()) return true;
            m_shift = (uint32_t{from.front()} << 1) | 0x200;
            from.pop_front();
            m_bits = 10;
            m_left = m_cycles;
        }
        const bool now = m_shift & 1;
        if (--m_left == 0) {
            m_shift >>= 1;
            m_left = m_cycles;
            --m_bits;
        }
        return now;
    }
    bool idle() const { return m_bits == 0; }

private:
    uint64_t m_cycles, m_left = 0;
    uint32_t m_shift = 0, m_bits = 0;
};

// The level of a line → bytes.
class Receiver {
public:
    explicit Receiver(uint64_t cycles_per_bit) : m_cycles{cycles_per_bit} {}
    void see(bool level, std::string& into) {
        if (m_bits == 0) {
            if (level) return;
            m_bits = 9;
            m_left = m_cycles + m_cycles / 2;
        }
        if (--m_left != 0) return;
        m_left = m_cycles;
        m_shift = (m_shift >> 1) | (uint32_t{level} << 8);
        if (--m_bits == 0 && level) into += static_cast<char>(m_shift & 0xFF);
    }
    bool idle() const { return m_bits == 0; }

private:
    uint64_t m_cycles, m_left = 0;
    uint32_t m_shift = 0, m_bits = 0;
};

int main(int argc, char** argv) {
    const uint64_t cycles_per_bit = argc == 2 ? std::strtoull(argv[1], nullptr, 10) : 0;
    if (cycles_per_bit < 4) {
        std::fprintf(stderr, "usage: board <cycles per bit, at least 4>\n");
        return 2;
    }
    constexpr unsigned chunk = 512;          // cycles between two looks at the terminal
    constexpr uint64_t patience = 1'000'000;  // cycles without a byte, after which the simulation lets others work
    const auto context = std::make_unique<VerilatedContext>();
    const auto top = std::make_unique<Vtop>(context.get());
    PseudoTerminal terminal;
    Sender sender{cycles_per_bit};
    Receiver receiver{cycles_per_bit};
    std::deque<uint8_t> to_device;
    std::string to_host;
    std::printf("%s\n", terminal.name.c_str());
    std::fflush(stdout);
    uint64_t quiet = 0;
    while (terminal.wait(quiet > patience ? 20 : 0)) {
        terminal.take(to_device);
        for (unsigned cycle = 0; cycle < chunk; ++cycle) {
            top->rx = sender.level(to_device);
            top->clk = 1;
            top->eval();
            receiver.see(top->tx, to_host);
            top->clk = 0;
            top->eval();
        }
        const bool busy = !sender.idle() || !receiver.idle() || !to_device.empty() || !to_host.empty();
        quiet = busy ? 0 : quiet + chunk;
        terminal.give(to_host);
    }
    return 0;
}
