"""What is remembered of a conversation between its requests, and where it is kept."""
