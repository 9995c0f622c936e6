"""Several ZenMux accounts: which are up, which is next, and what makes one rest."""
