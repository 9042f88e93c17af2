"""invkit-template: a component for invkit, found by its entry point in pyproject.toml."""
