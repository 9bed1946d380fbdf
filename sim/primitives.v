// What the pins and clocks of the boards are made of, as far as a simulation in cycles of the design's clock needs it. A PLL gives its
// input clock: the simulated clock is the one behind it.
/* verilator lint_off DECLFILENAME */

// Lattice ECP5
module IB(input I, output O); assign O = I; endmodule
module OB(input I, output O); assign O = I; endmodule
module OBZ(input I, input T, output O); assign O = T ? 1'b0 : I; endmodule
module EHXPLLL #(
    parameter CLKI_DIV = 1, parameter CLKFB_DIV = 1, parameter CLKOP_DIV = 1, parameter CLKOP_ENABLE = "ENABLED",
    parameter CLKOP_CPHASE = 0, parameter CLKOP_FPHASE = 0, parameter FEEDBK_PATH = "CLKOP",
    parameter PLLRST_ENA = "DISABLED", parameter INTFB_WAKE = "DISABLED", parameter STDBY_ENABLE = "DISABLED",
    parameter DPHASE_SOURCE = "DISABLED", parameter OUTDIVIDER_MUXA = "DIVA", parameter OUTDIVIDER_MUXB = "DIVB",
    parameter OUTDIVIDER_MUXC = "DIVC", parameter OUTDIVIDER_MUXD = "DIVD"
) (
    input CLKI, CLKFB, RST, STDBY, PHASESEL0, PHASESEL1, PHASEDIR, PHASESTEP, PHASELOADREG, PLLWAKESYNC, ENCLKOP,
    output CLKOP, LOCK
);
    assign CLKOP = CLKI;
    assign LOCK = 1'b1;
endmodule

// Lattice iCE40: plain input and output, no registers in the pin
module SB_IO #(parameter [5:0] PIN_TYPE = 6'b000001, parameter [0:0] PULLUP = 1'b0, parameter IO_STANDARD = "SB_LVCMOS") (
    inout PACKAGE_PIN,
    input LATCH_INPUT_VALUE, CLOCK_ENABLE, INPUT_CLK, OUTPUT_CLK, OUTPUT_ENABLE, D_OUT_0, D_OUT_1, output D_IN_0, D_IN_1
);
    generate
        if (PIN_TYPE[5]) assign PACKAGE_PIN = OUTPUT_ENABLE ? D_OUT_0 : 1'bz;
        else if (PIN_TYPE[4]) assign PACKAGE_PIN = D_OUT_0;
    endgenerate
    assign D_IN_0 = PACKAGE_PIN;
endmodule

module SB_GB_IO #(parameter [5:0] PIN_TYPE = 6'b000001, parameter [0:0] PULLUP = 1'b0, parameter IO_STANDARD = "SB_LVCMOS") (
    inout PACKAGE_PIN,
    input LATCH_INPUT_VALUE, CLOCK_ENABLE, INPUT_CLK, OUTPUT_CLK, OUTPUT_ENABLE, D_OUT_0, D_OUT_1, output D_IN_0, D_IN_1,
    GLOBAL_BUFFER_OUTPUT
);
    assign D_IN_0 = PACKAGE_PIN;
    assign GLOBAL_BUFFER_OUTPUT = PACKAGE_PIN;
endmodule

// Gowin and Xilinx
module IBUF(input I, output O); assign O = I; endmodule
module OBUF(input I, output O); assign O = I; endmodule
module TBUF(input I, input OEN, output O); assign O = OEN ? 1'b0 : I; endmodule
module OBUFT(input I, input T, output O); assign O = T ? 1'b0 : I; endmodule
module MMCME2_BASE #(
    parameter real CLKIN1_PERIOD = 10.0, parameter real CLKFBOUT_MULT_F = 5.0, parameter real CLKOUT0_DIVIDE_F = 1.0,
    parameter integer DIVCLK_DIVIDE = 1
) (
    input CLKIN1, CLKFBIN, RST, PWRDWN, output CLKFBOUT, CLKOUT0, LOCKED
);
    assign CLKFBOUT = CLKIN1;
    assign CLKOUT0 = CLKIN1;
    assign LOCKED = 1'b1;
endmodule
