"""What of a latent image a kernel is fitted to; one file each."""
