"""How the kernel is parametrised: each prior gives a non-negative kernel that sums to one, by construction."""
