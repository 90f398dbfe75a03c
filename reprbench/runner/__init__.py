"""Turns a request into finished trials: request → plan (pure) → schedule → one process per trial."""
