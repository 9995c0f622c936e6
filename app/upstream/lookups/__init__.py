"""What ZenMux tells beside images: costs and models. Reads only."""
