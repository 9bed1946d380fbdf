"""Networks as directed acyclic graphs: in floating point, in integers, and as configuration files."""
