"""Estimators of coherence: window sums, their statistics, looks and spectra."""
