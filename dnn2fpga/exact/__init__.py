"""Models that bring their own integers: their numbers as exact fractions, and requantizers with the same steps."""
