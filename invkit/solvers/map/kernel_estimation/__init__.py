"""How a kernel is fitted to pairs of sharp and blurred; one file each."""
