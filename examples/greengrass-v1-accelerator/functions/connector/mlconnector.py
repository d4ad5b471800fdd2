"""Estimate with the connector for image classification, once a second.

The connector takes the picture as it is, prepares it, and answers with the probabilities of all
classes. Samples go to the configuration that the connector is bound to by itself; this function
hands each picture to the two others as well, which decide by what the model said.
"""

import json
import logging
import os
from threading import Timer

import greengrass_machine_learning_sdk as ml
import greengrasssdk

from image_source import ImageSource

PERIOD_S = 1
ROOT = os.environ.get('AWS_GG_RESOURCE_PREFIX', '/')
TOPIC = 'mli/predictions/{}'.format(os.environ['THINGNAME'])

log = logging.getLogger()
iot = greengrasssdk.client('iot-data')
inference = ml.client('inference')
feedback = ml.client('feedback')
source = ImageSource(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'pictures'))

with open(os.path.join(ROOT, 'image-classification-ml', 'labels.txt')) as file:
    LABELS = file.read().splitlines()


def give(picture, scores):
    """Feedback is worth having, and no reason not to go on."""
    for configuration in ('LC50', 'Entropy'):
        try:
            feedback.publish(ConfigId=configuration, ModelInput=picture, ModelPrediction=scores)
        except Exception as error:
            log.info('no feedback for %s: %s', configuration, error)


def classify():
    try:
        picture, content_type, name = source.get_image()
        response = inference.invoke_inference_service(
            AlgoType='image-classification', ServiceName='image-classification',
            ContentType=content_type, Body=picture)
        scores = json.loads(response['Body'].read().decode('utf-8'))
        best = max(range(len(scores)), key=scores.__getitem__)
        log.info('%s: %s, %.3f', name, LABELS[best], scores[best])
        told = {'confidence': scores[best], 'prediction': LABELS[best]}
        iot.publish(topic=TOPIC, payload=json.dumps(told))
        give(picture, scores)
    except ml.GreengrassInferenceException as error:
        log.exception('the connector refuses: %s', error)
    except ml.GreengrassDependencyException as error:
        log.exception('the connector does not answer: %s', error)
    except Exception:
        log.exception('no prediction')
    Timer(PERIOD_S, classify).start()


classify()


def handler(event, context):
    """Nobody calls it: the work is done outside."""
