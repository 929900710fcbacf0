"""One function a command: its signature and docstring are its options and help, its imports wait until it runs."""
