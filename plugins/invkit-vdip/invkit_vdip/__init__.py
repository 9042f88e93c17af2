"""invkit-vdip: the variational deep image prior for invkit, found by its entry points in pyproject.toml."""
