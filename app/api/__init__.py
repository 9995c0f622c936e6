"""The OpenAI-compatible door: parse, return an Exchange, translate errors. Decides nothing about money."""
