"""Numbers as words and as drawings. Pure."""
