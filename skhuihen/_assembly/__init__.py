"""The join of applications and events: `attach_behaviors`."""
