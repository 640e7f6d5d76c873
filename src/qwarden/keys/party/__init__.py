"""Two parties: what Alice and Bob say to each other, and how each end goes through a block."""
