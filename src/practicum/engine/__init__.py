"""Samplers and learners behind one small protocol."""
