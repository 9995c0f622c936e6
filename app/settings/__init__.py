"""Every knob, once: groups of settings, how their values are written, and secrets in files. Decides nothing."""
