"""Use cases of the ZenMux accounts and of what ZenMux bills for them."""
