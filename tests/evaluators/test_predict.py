from __future__ import annotations

import torch

from evaluators.augment import normalise
from evaluators.training import evaluate, predict_logits
from tests.evaluators.toy import fingerprint, toy_images, toy_network


def test_evaluate_equals_a_slow_loop() -> None:
    network = toy_network().train()
    images = toy_images(n_val=300)  # more than one batch
    before = fingerprint(network)
    logits = predict_logits(network, images.val, images)
    accuracy = evaluate(network, images.val, images)
    assert network.training
    assert fingerprint(network) == before
    network.eval()
    right = 0
    for i in range(300):
        x = normalise(images.val.images[i : i + 1], images)
        scores = network(x)
        torch.testing.assert_close(logits[i], scores[0], rtol=1e-4, atol=1e-5)
        right += int(scores.argmax() == images.val.labels[i])
    assert accuracy == right / 300
