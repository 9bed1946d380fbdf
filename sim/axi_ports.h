// The AXI4-Stream ports of the design, whose names are in a header that builds.py writes by the manifest.

#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "Vtop.h"
#include "port_names.h"

struct AxiPort {
    std::string axis;
    uint8_t* tdata;
    size_t bytes;  // of tdata
    CData *tvalid, *tready, *tlast;
};

#define AXI_PORT(axis) \
    AxiPort{#axis, reinterpret_cast<uint8_t*>(&top.axis##_tdata), sizeof top.axis##_tdata, &top.axis##_tvalid, &top.axis##_tready, &top.axis##_tlast},

inline std::vector<AxiPort> input_ports(Vtop& top) { return {INPUT_PORTS(AXI_PORT)}; }
inline std::vector<AxiPort> output_ports(Vtop& top) { return {OUTPUT_PORTS(AXI_PORT)}; }
