"""Who does the minimising."""
