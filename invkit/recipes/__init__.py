"""The named methods: one TOML file each, named as the recipe is."""
