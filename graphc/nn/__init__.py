"""Networks: modules, functions, initialisation."""
