"""What tests stand on: real servers, settings for one test, and doubles. Never imported by a service."""
