"""The commands, a file each: they parse, call a use case, and print."""
