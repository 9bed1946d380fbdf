"""Board builds: the vendor's or open tools applied to a bundle for a board."""
