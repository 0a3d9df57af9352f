"""What embeddings learn of a label, and keep of a person whom they should ignore.

Real images whose persons are made up (`digits`, `faces`): some are for training, others for
validation, others for the test; no image is in two of them. Every loss trains the same network from
the same start, with Adam, for equally many steps on batches of equally many images, with the
hyper-parameters it comes with. Network and learning rate are common to all and were chosen on the
validation persons.
"""
