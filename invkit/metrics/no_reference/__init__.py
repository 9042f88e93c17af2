"""How good restorations are, told without the truth."""
