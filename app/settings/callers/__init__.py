"""What callers may occupy, and what the process has for them."""
