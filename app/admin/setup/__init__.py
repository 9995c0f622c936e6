"""A set-up as a whole: what a file wants, beside what is there; the changes that lead from one to the other."""
