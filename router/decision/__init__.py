"""What serves a request, and why.  Pure: no network, clock, disk or environment."""
