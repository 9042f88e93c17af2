"""Recipes x datasets -> results -> tables and figures, on this machine or on a Dask cluster."""
