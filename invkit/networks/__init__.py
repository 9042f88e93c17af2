"""Networks for the priors that are built on them; no network knows what it restores."""
