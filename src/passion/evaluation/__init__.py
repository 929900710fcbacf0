"""What a prediction is worth: metrics in mm, and the table of case x subset x region."""
