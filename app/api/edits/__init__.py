"""The bodies of edits: forms, and JSON with data URLs; images go to disk as they come."""
