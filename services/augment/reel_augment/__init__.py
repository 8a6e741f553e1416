"""The six scikit-image variants of every web picture."""
