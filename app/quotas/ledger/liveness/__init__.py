"""Which processes live, what dead ones left, and whether this one can take reservations."""
