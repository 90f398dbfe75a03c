"""What reports look like: terminal, Markdown, LaTeX, CSV, JSON, HTML, and figures."""
