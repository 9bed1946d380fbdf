"""dnn2fpga: from a trained Keras model to a bit-exact, pipelined FPGA accelerator in plain Verilog."""

__version__ = "0.1.0"
