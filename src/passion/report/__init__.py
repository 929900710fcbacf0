"""Tables, figures and one page, made from result files alone; nothing here imports torch."""
