"""How the image is parametrised."""
