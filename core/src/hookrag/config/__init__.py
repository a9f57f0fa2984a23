"""From a TOML file, or from objects, to components that call each other."""
