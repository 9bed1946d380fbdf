"""Amaranth components of dnn2fpga with their integer specifications.

Each operator is a frozen *spec* with two faces: ``compute`` gives the integers (NumPy, exact), ``create`` gives a
stream component that produces the same integers. Nothing here knows Keras, files or the command line.
"""
