"""How good the routing is: replay over recorded outcomes, beside every baseline."""
