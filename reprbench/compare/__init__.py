"""Whether one store is worse than another: rows are matched, judged, and written as text."""
