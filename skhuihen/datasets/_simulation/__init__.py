"""The parts of the simulated bank, in the order in which they are created."""
