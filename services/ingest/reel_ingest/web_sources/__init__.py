"""Where web pictures come from: one module per provider, all speaking ``provider.SourceProvider``."""
