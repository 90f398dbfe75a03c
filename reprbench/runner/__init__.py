"""From a request to finished trials: request → plan (pure) → schedule → one process per trial."""
