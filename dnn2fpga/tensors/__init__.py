"""The data on a wire: shapes, intervals, and tensors of integers with their formats and scales."""
