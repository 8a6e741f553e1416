"""The `reel` commands, one module each: they parse, call and show."""
