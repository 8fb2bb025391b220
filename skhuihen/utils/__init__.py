"""Tools for developers of estimators on applications with behaviors."""
