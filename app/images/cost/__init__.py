"""What an image costs: tokens, prices, usage. Pure."""
