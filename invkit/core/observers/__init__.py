"""Observers of a solve: progress, snapshots, checkpoints. They read the state and never change the solve."""
