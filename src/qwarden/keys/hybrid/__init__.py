"""Keys of two kinds combined: quantum key distribution and post-quantum exchange, and who uses them."""
