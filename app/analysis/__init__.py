"""Batch video analysis: many files in, one record each out, resumable at any point."""
