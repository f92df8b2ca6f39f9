"""How fast it is: a decision, and the gateway under load."""
