"""The paper's tables as grids of runs: what is trained, in which order, where it lies and how far it is."""
