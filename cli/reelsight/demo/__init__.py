"""`reel demo`: the whole mission on films and drawings that the studio makes, through the public API only."""
