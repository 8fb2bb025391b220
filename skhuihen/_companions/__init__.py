"""Models beside the network: the warm start, teachers, and a base model to stand on."""
