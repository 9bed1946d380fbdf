// How a harness ends when it cannot do its work.

#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>

[[noreturn]] static void give_up(const std::string& message) {
    std::fprintf(stderr, "%s\n", message.c_str());
    std::exit(2);
}
