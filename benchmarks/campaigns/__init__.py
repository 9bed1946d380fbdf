"""The campaigns of ``benchmarks/robustness.py``: files, accidents, tamperings and kills that dnn2fpga must survive."""
