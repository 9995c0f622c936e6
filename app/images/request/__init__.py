"""What is asked: requests validated and normalized against a model's rules. Pure."""
