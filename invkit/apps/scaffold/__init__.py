"""What ``invkit plugin new`` writes: a distribution with a component that works, its recipe, its tests."""
