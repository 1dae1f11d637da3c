"""Using and sharing what was trained: the predictor, the report."""
