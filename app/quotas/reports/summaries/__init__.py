"""Small sums that pages show: the nearest limits, what is held, the days of one user. Reads only."""
