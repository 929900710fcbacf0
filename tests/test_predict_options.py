"""The options of `predict` beside those that are called as modalities."""

from inspect import signature

from passion.commands.use import predict
from passion.data.study import TAKEN


def test_no_modality_can_be_called_as_an_option() -> None:
    names = set(signature(predict).parameters) - {"runs"}
    assert names | {name.replace("_", "-") for name in names} <= TAKEN
