"""madnet: infrared small target detection, trained, tested, compared and put to use."""

__version__ = '0.1.0'
