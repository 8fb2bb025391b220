"""Models used with the network: warm start, teachers, and base estimator."""
