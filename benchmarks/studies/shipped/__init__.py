"""What the study ``table`` is made of: one question a module."""
