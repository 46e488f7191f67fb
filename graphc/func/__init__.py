"""Functions of functions: gradients, Jacobians, and vectorisation over examples."""
