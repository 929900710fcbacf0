"""From a run to something that can be given to others: a folder of weights with a card, or a MONAI bundle."""
