"""Choose the cheapest adequate model for a request, and serve it."""
