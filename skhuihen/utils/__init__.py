"""Tools for those who build estimators on applications with behaviors."""
