"""Data acquisition: the pictures of a directory, one after the other, again and again.

A camera takes its place by another class with the same method.
"""

import itertools
import os

TYPES = {'.jpg': 'image/jpeg', '.jpeg': 'image/jpeg', '.png': 'image/png'}


class ImageSource:
    def __init__(self, directory):
        names = sorted(name for name in os.listdir(directory) if _type(name))
        if not names:
            raise ValueError('there are no pictures in {}'.format(directory))
        self._paths = itertools.cycle(os.path.join(directory, name) for name in names)

    def get_image(self):
        """Bytes of the next picture, its type of content and its name."""
        path = next(self._paths)
        with open(path, 'rb') as file:
            return file.read(), _type(path), os.path.basename(path)


def _type(name):
    return TYPES.get(os.path.splitext(name)[1].lower())
