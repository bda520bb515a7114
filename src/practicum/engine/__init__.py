"""Sampling tokens and taking gradient steps, behind one small protocol; ``local`` implements it with PyTorch."""

from practicum.engine.protocol import AdamParams, Learner, Sample, Sampler, SamplingParams, StepStats

__all__ = ["AdamParams", "Learner", "Sample", "Sampler", "SamplingParams", "StepStats"]
