"""zenmux-gateway: an OpenAI-compatible image gateway in front of ZenMux. docs/design.md draws the house."""

__version__ = "0.1.0"
