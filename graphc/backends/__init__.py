"""Source text to a loaded program, one package for each target."""
