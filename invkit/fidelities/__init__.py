"""How predicted data are compared with measured data; every fidelity is a mean over the values of an image."""
