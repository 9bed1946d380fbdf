"""The host's side of a built accelerator."""
