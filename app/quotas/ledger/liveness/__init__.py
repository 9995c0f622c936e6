"""Which processes live, what the dead ones left, and whether this one can sell."""
