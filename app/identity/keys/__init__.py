"""Keys: their form, their secrets' hashes, and who a key belongs to."""
