"""The HUIHEN network, one module per layer of the paper, in the paper's order.

Everything here knows tensors and nothing of pandas; `skhuihen.network.batch` is the one door.
"""
