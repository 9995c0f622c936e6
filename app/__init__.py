"""zenmux-gateway: an OpenAI-compatible image gateway in front of ZenMux. docs/design.md has the map."""

__version__ = "0.2.0"
