"""From a bundle and a board to the vendor's tools."""
