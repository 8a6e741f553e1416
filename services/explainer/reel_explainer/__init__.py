"""Grad-CAM and guided backprop."""
