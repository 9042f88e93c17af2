"""The variational deep image prior for invkit; its components are entry points in pyproject.toml."""
