"""Graphs with loops and branches: what maps over a batch, and what detectors do with it."""

import numpy as np
import tensorflow as tf

RANDOM = np.random.RandomState(11)
F = np.float32
CASES = {}


def case(*inputs, batch=True):
    """A graph of placeholders, whose first size is left open with `batch`."""

    def add(build):
        CASES[build.__name__] = (build, inputs, batch)
        return build

    return add


def real(*shape):
    return RANDOM.uniform(0, 1, shape).astype(F)


def boxes(*shape):
    corner = RANDOM.uniform(0, 0.6, (*shape, 2))
    return np.concatenate([corner, corner + RANDOM.uniform(0.1, 0.4, (*shape, 2))], -1).astype(F)


@case(real(1, 9, 8, 3))
def map_resized(pictures):
    return tf.map_fn(lambda picture: tf.image.resize(picture, [4, 5]) * 2 - 1, pictures)


@case(real(3, 4), batch=False)
def map_nested(x):
    return tf.map_fn(lambda row: tf.map_fn(lambda one: one * tf.reduce_sum(row), row), x)


@case(real(4, 3), batch=False)
def fold(x):
    return tf.foldl(lambda sum, row: sum + row * sum, x, initializer=tf.ones([3]))


@case(real(4, 3), batch=False)
def scan(x):
    return tf.scan(lambda sum, row: sum + row, x)


@case(real(2, 3), batch=False)
def counted(x):
    step = lambda i, x: (i + 1, x * 0.5 + tf.cast(i, tf.float32))
    return tf.while_loop(lambda i, _: i < 5, step, [tf.constant(0), x])[1]


@case(real(3, 2), batch=False)
def unequal_lengths(x):
    """A list of parts of different lengths, joined."""
    parts = tf.TensorArray(tf.float32, size=3, infer_shape=False, element_shape=[None, 2])
    step = lambda i, parts: (i + 1, parts.write(i, tf.tile(x[i:i + 1], [2, 1])))
    return tf.while_loop(lambda i, _: i < 3, step, [tf.constant(0), parts])[1].concat()


@case(real(3), np.array(True), batch=False)
def chosen(x, flag):
    return tf.cond(flag, lambda: tf.exp(x) * 2, lambda: x - 1)


@case(real(3), np.array(False), batch=False)
def not_chosen(x, flag):
    return chosen(x, flag)


@case(real(2, 3), np.array(2, np.int32), batch=False)
def chosen_in_each_other(x, n):
    less = lambda: tf.cond(n > 0, lambda: x[:1], lambda: x * 3)
    return tf.cond(n > 3, lambda: tf.concat([x, x], 0), less)


@case(real(1, 20, 2))
def cut_or_filled(lists):
    """As many rows as there happen to be, brought to five."""

    def one(rows):
        rows = tf.gather(rows, tf.reshape(tf.where(rows[:, 0] > 0.5), [-1]))
        fill = lambda: tf.pad(rows, [[0, 5 - tf.shape(rows)[0]], [0, 0]])
        rows = tf.cond(tf.shape(rows)[0] > 5, lambda: rows[:5], fill)
        rows.set_shape([5, 2])
        return rows

    return tf.map_fn(one, lists)


def suppressed(operands):
    """The end of a detector for one picture: suppression class by class, sorted, padded."""
    most = 6

    def of_class(boxes, scores, number):
        kept = tf.reshape(tf.cast(tf.where(scores > 0.3), tf.int32), [-1])
        boxes, scores = tf.gather(boxes, kept), tf.gather(scores, kept)
        count = tf.minimum(4, tf.shape(boxes)[0])
        selected = tf.image.non_max_suppression(boxes, scores, count, 0.5)
        scores = tf.gather(scores, selected)
        return tf.gather(boxes, selected), scores, tf.zeros_like(scores) + number

    found = [of_class(operands[0], operands[1][:, number], number) for number in range(3)]
    boxes, scores, classes = [tf.concat(list(parts), 0) for parts in zip(*found)]
    scores, order = tf.nn.top_k(scores, tf.shape(scores)[0])
    count = tf.minimum(most, tf.shape(scores)[0])

    def padded(list):
        list = tf.pad(list[:count], [[0, most - count]] + [[0, 0]] * (list.shape.rank - 1))
        list.set_shape([most, *list.shape[1:]])
        return list

    boxes, classes = tf.gather(boxes, order), tf.gather(classes, order)
    return padded(boxes), padded(scores), padded(classes), tf.cast(count, tf.float32)


@case(boxes(1, 20), real(1, 20, 3))
def suppressed_by_class(batch, scores):
    return tf.map_fn(suppressed, (batch, scores), fn_output_signature=(tf.float32,) * 4)


@case(RANDOM.randint(0, 256, (1, 45, 60, 3)).astype(np.uint8))
def detector(pictures):
    """A whole detector in the form of the Object Detection API: bytes in, its four outputs out."""
    ready = lambda picture: tf.compat.v1.image.resize_bilinear(picture[None], [32, 32])[0] * (2 / 255) - 1
    x = tf.map_fn(ready, tf.cast(pictures, tf.float32))
    x = tf.nn.relu6(tf.nn.conv2d(x, real(3, 3, 3, 8) - 0.5, 4, "SAME"))
    head = lambda width: tf.nn.conv2d(x, real(1, 1, 8, width) - 0.5, 1, "SAME")
    places = (np.stack(np.meshgrid(*[np.arange(8)] * 2, indexing="ij"), -1).reshape(-1, 2) + 0.5) / 8
    anchors = np.concatenate([places - 0.15, places + 0.15], 1).astype(F)
    boxes = tf.clip_by_value(anchors + tf.reshape(head(4), [-1, 64, 4]) * 0.02, 0, 1)
    scores = tf.sigmoid(tf.reshape(head(4), [-1, 64, 4]))[:, :, 1:]
    boxes, scores, classes, count = tf.map_fn(
        suppressed, (boxes, scores), fn_output_signature=(tf.float32,) * 4)
    return (tf.identity(boxes, "detection_boxes"), tf.identity(scores, "detection_scores"),
            tf.identity(classes + 1, "detection_classes"), tf.identity(count, "num_detections"))


@case(real(2, 3), batch=False)
def listed(x):
    """Lists outside of loops, one place of which nobody wrote."""
    raw, shape = tf.raw_ops, tf.constant([3])
    of = dict(element_dtype=tf.float32)
    places = raw.EmptyTensorList(element_shape=shape, max_num_elements=-1, **of)
    for index in range(2):
        places = raw.TensorListPushBack(input_handle=places, tensor=x[index] * (index + 1))
    longer = raw.TensorListResize(input_handle=places, size=4)
    gathered = raw.TensorListGather(input_handle=longer, indices=[3, 1, 0], element_shape=shape, **of)
    places, last = raw.TensorListPopBack(input_handle=places, element_shape=shape, **of)
    array = tf.compat.v1.TensorArray(tf.float32, size=0, dynamic_size=True).write(2, x)
    lengths = raw.TensorListLength(input_handle=longer), raw.TensorListLength(input_handle=places), array.size()
    return gathered, last - 1, x * tf.cast(tf.stack(lengths), tf.float32)
