"""What outlives a request, as connections: the database with its tables and versions, the shared store."""
