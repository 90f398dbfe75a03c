"""The benchmarks that come with reprbench, as YAML files."""
