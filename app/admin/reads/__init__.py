"""Use cases that only read, for pages and programs that ask often."""
