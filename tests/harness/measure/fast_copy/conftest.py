"""The entered reference that copies are made of."""

import pytest
from deep import Deep
from toys import loaded

from harness.inputs.reference import ReferenceModel


@pytest.fixture
def reference():
    with ReferenceModel(loaded(Deep(), 5)) as entered:
        yield entered
