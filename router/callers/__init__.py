"""Who asks: keys, what their holders may do, and how often."""
