"""Who is asking: the form of a key (pure), its record, authentication with a bounded cache."""
