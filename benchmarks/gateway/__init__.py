"""What the gateway costs: requests per second and added time, beside what others cost."""
