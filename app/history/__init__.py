"""Conversations on disk: what was said, shown and answered, and the media, kept across crashes."""
