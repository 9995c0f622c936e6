"""Models, sizes, qualities, token rules and prices: read from catalog.toml. Pure."""
