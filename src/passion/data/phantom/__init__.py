"""Cases with known truth, written in the real layouts."""
