"""What ``tools/benchmark.py`` measures, one module per subcommand."""
