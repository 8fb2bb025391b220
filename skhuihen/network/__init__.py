"""The HUIHEN network, one module per layer of the paper, in the paper's order.

All modules here work on tensors only, without pandas. `skhuihen.network.batch` makes the tensors.
"""
