"""The demo's film studio: renders films and drawings that anyone may have. Called by `reel demo`."""
