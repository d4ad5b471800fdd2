"""Estimate with a model from S3 that lies beside the function, every five seconds."""

import json
import logging
import os
from threading import Timer

import greengrass_machine_learning_sdk as ml
import greengrasssdk

from estimator import Estimator
from image_source import ImageSource

PERIOD_S = 5
ROOT = os.environ.get('AWS_GG_RESOURCE_PREFIX', '/')
TOPIC = 'mli/predictions/{}'.format(os.environ['THINGNAME'])
CONFIGURATIONS = ('RandomSamplingConfiguration', 'LC50', 'Entropy')

log = logging.getLogger()
iot = greengrasssdk.client('iot-data')
feedback = ml.client('feedback')
source = ImageSource(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'pictures'))
estimator = Estimator(os.path.join(ROOT, 'greengrass-machine-learning', 'mxnet', 'mobilenet'))


def give(picture, scores, name):
    """Feedback is worth having, and no reason not to go on."""
    for configuration in CONFIGURATIONS:
        try:
            feedback.publish(ConfigId=configuration, ModelInput=picture, ModelPrediction=scores,
                             Metadata={'image-name': name})
        except Exception as error:
            log.info('no feedback for %s: %s', configuration, error)


def classify():
    try:
        picture, _, name = source.get_image()
        best, scores = estimator.predict(picture)
        told = [{'confidence': str(score), 'prediction': label, 'image_name': name}
                for score, label in best]
        log.info('predictions: %s', told)
        iot.publish(topic=TOPIC, payload=json.dumps(told))
        give(picture, scores, name)
    except Exception:
        log.exception('no prediction')
    Timer(PERIOD_S, classify).start()


classify()


def function_handler(event, context):
    """Nobody calls it: the work is done outside."""
