"""Tests on a GPU, against the SKU's engines. **None has been run yet**: no GPU was there.

`make test-gpu SKU=h100-sxm-80gb`, in the container, with the engines built. Without a GPU, or with
another one than the SKU's, everything here fails; nothing is skipped.
"""

import os

import pytest

from builders.gpu_machine import Device, check_build_machine
from builders.spec import Sku, load_sku


@pytest.fixture(scope="session")
def sku() -> Sku:
    name = os.environ.get("SKU")
    assert name and name != "cpu", "SKU names the GPU: make test-gpu SKU=<one of builders/skus>"
    return load_sku(name)


@pytest.fixture(scope="session")
def gpu(sku: Sku) -> Device:
    """The first GPU; the test fails where the machine has not the SKU's."""
    return check_build_machine(sku, 1)[0]
