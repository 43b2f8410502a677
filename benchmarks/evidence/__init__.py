"""`python -m benchmarks.evidence`: measures again what README and docs claim, and writes one report.

An experiment is a file, which states its claim, chance, the published figure and how it is measured.
"""
