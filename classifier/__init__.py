"""Read a conversation: what kind of task it asks for, and how hard that task is."""
