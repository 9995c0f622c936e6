"""Moving in from a LiteLLM proxy: what its file and its listings say, as a gateway.yaml and a report."""
