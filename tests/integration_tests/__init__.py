"""Whole conversations on real files, across threads, restarts and crashes."""
