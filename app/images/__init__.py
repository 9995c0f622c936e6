"""What is asked and what it costs: model rules, tokens, prices, usage. Pure: no await, no clock, no I/O."""
