"""How a Python program prepares a picture: OpenCV, then numpy."""

import cv2
import numpy as np


class Preparation:
    def __init__(self, shape, dtype, threads):
        cv2.setNumThreads(threads)
        self.nchw = shape[1] == 3
        self.size = (shape[3], shape[2]) if self.nchw else (shape[2], shape[1])
        self.dtype = dtype

    def decode(self, data):
        return cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)

    def tensor(self, picture):
        picture = cv2.resize(picture, self.size, interpolation=cv2.INTER_LINEAR)
        if self.dtype == np.float32:
            picture = picture.astype(np.float32) * np.float32(1 / 255)
        elif self.dtype == np.int8:
            picture = (picture ^ 0x80).view(np.int8)
        if self.nchw:
            picture = np.ascontiguousarray(picture.transpose(2, 0, 1))
        return picture[np.newaxis]
