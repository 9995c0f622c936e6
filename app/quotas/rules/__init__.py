"""What may still be spent, decided: limits, windows, counters, admission, thresholds. Pure: no clock, no I/O."""
