"""Who others say that a visitor is: identity providers, and a proxy in front."""
