"""From recorded outcomes to the cost-quality table."""
