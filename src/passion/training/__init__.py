"""The training loop's parts, on Lightning."""
