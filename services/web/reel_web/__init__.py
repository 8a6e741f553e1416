"""The live demo and the jobs page."""
