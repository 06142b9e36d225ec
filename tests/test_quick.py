"""diffusers is loaded without bitsandbytes where no GPU could use it."""

import subprocess
import sys

import pytest
import torch

ASKED = """
import sys
from meddiff.diffusion.precision import bitsandbytes_denoiser
from diffusers.utils import is_bitsandbytes_available
print(bool(sys.modules.get("bitsandbytes")), is_bitsandbytes_available())
"""


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here, and bitsandbytes with it")
def test_without_a_gpu_bitsandbytes_is_not_loaded():
    done = subprocess.run([sys.executable, "-c", ASKED], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
