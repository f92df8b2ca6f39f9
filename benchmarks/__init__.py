"""Turn recorded outcomes into the cost-quality table, and judge routing policies on them."""
