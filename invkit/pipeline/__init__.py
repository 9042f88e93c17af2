"""A photograph and a recipe become a result."""
