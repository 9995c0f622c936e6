"""The benchmark: this gateway beside nginx and its peers, before the same upstream. See docs/performance.md."""
