"""Imports every module that registers a component or a source of weights; the registries import this one."""

from madnet import datasets, engine, models, pretrained
from madnet.visualization import local_backend, visualizer

__all__ = ['datasets', 'engine', 'local_backend', 'models', 'pretrained', 'visualizer']
