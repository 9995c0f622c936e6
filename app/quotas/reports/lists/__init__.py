"""What pages and programs list: single requests, sums over time, refusals. Reads only; every function blocks."""
