"""Preprocess, estimate, interpret: with a model that the function loads by itself.

The module `dlr` runs MXNet's files without MXNet; Pillow and numpy prepare the picture. How is the
network's own: 224 x 224 pixels, RGB, from -1 to 1, channels first.
"""

import io
import os

import numpy as np
from dlr import DLRModel
from PIL import Image

EDGE = 224


class Estimator:
    def __init__(self, directory):
        with open(os.path.join(directory, 'synset.txt')) as file:
            self.labels = file.read().splitlines()
        self.model = DLRModel(directory, 'cpu', 0)

    def predict(self, picture, count=1):
        """Probability and label of the likeliest classes, and the probabilities of all."""
        scores = self.model.run({'data': prepared(picture)})[0].ravel()
        best = np.argsort(scores)[::-1][:count]
        return [(scores[index], self.labels[index]) for index in best], scores.tolist()


def prepared(picture):
    image = Image.open(io.BytesIO(picture)).convert('RGB').resize((EDGE, EDGE), Image.BILINEAR)
    pixels = (np.asarray(image, np.float32) - 127.5) / 127.5
    return pixels.transpose(2, 0, 1)[np.newaxis]
