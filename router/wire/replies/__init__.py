"""What comes back in each wire format: the module of its name reads, mends and ends it."""
