"""What any estimator needs: a fit that is whole or undone, and parameters that can be compared."""
