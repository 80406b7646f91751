"""Data sets that people bring: listed, checked, brought into one form, made (``tools/dataset.py``)."""
