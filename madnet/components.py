"""Imports every module that registers a component; the registries import this one."""

from madnet import datasets, engine, models, visualization

__all__ = ['datasets', 'engine', 'models', 'visualization']
