"""The parts of classical maximum-a-posteriori methods."""
