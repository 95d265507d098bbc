"""Alarms as the enterprise heard them: annunciations, their truth, the naive baseline, the simulated operator."""
