"""The events in a nested column, read as flat arrays."""
