"""The report of a training: one HTML file with pictures and plots, and its figures as JSON."""
