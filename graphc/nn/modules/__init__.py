"""The layers, one family a module."""
