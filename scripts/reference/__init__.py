"""Writes the generated pages of docs/reference/ from the code: `make reference`; a test fails when they are stale."""
