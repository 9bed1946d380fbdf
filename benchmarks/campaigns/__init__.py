"""What ``benchmarks/robustness.py`` tries: files, accidents, tamperings and kills that dnn2fpga must survive."""
