"""The stand-in's images: drawn, lettered and padded. Slow: meant for a worker thread."""
