"""The exception that ends a training which was asked to stop."""


class TrainingStopped(Exception):
    """Training was asked to stop (Ctrl-C, SIGTERM) and has saved where it stood."""
