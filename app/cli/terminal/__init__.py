"""What every command shares: output, parsing, options, settings, the database opened for the use cases."""
