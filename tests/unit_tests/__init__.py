"""Tests of one module each: no network, nothing on disk but `tmp_path`."""
