"""Data sets that people bring: listed, checked, brought into one form, made (``madnet dataset``)."""
