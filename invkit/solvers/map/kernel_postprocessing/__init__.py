"""What is taken from a fitted kernel; one file each."""
