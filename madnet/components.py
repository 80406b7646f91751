"""Imports every module that registers a component or a source of weights; the registries import this one."""

from madnet import datasets, engine, models, pretrained, visualization

__all__ = ['datasets', 'engine', 'models', 'pretrained', 'visualization']
