"""Amaranth components of dnn2fpga with their integer specifications.

Each operator is a frozen *spec* with two faces: ``compute`` returns the integers (NumPy, exact), ``create`` returns a
stream component that produces the same integers. Nothing here knows Keras, files or the command line.
"""
