"""Forward operators: how an image and a kernel make the data."""
