"""What is known: the catalogue of models and the cost-quality table, read from files and checked."""
