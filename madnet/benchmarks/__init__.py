"""What ``madnet benchmark`` measures, one module per subcommand."""
