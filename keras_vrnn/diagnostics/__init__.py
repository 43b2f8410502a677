"""Diagnosis: what the gradients of a recurrent network do, in figures and pictures."""
