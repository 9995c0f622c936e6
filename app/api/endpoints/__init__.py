"""One file for each group of routes: reads the request, calls what decides, answers."""
