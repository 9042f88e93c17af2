"""Steps of classical maximum-a-posteriori (MAP) methods: edge selection, kernel estimation, kernel post-processing."""
