"""How networks are trained: folds, batches, schedule, loss, callbacks."""
