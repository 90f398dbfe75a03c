"""The precision of a run. Generators, history and checkpoints are tested with the loop that uses them."""

from __future__ import annotations

import pytest
import torch

from reprbench import Budget, Run, UserError


def product_dtype(run: Run) -> torch.dtype:
    with run.autocast():
        return (torch.ones(2, 2) @ torch.ones(2, 2)).dtype


def test_forward_passes_are_in_float32_unless_bfloat16_is_requested():
    assert Run(0, Budget(epochs=1)).precision == "float32"
    assert product_dtype(Run(0, Budget(epochs=1))) == torch.float32
    assert product_dtype(Run(0, Budget(epochs=1), precision="float32")) == torch.float32
    assert product_dtype(Run(0, Budget(epochs=1), precision="bf16")) == torch.bfloat16


@pytest.mark.filterwarnings("ignore:CUDA is not available")
def test_a_cuda_device_too_computes_in_float32_unless_bfloat16_is_requested(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    contexts = {}
    for precision in ("float32", "bf16"):
        run = Run(0, Budget(epochs=1), device="cuda", precision=precision)
        contexts[precision] = run.autocast()
    assert not isinstance(contexts["float32"], torch.autocast)
    assert isinstance(contexts["bf16"], torch.autocast)
    assert (contexts["bf16"].device, contexts["bf16"].fast_dtype) == ("cuda", torch.bfloat16)


def test_a_device_without_bfloat16_is_reported(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    with pytest.raises(UserError, match="cuda has no bfloat16; use the precision float32"):
        Run(0, Budget(epochs=1), device="cuda", precision="bf16")
    assert Run(0, Budget(epochs=1), device="cuda").precision == "float32"


def test_an_unknown_precision_is_reported():
    with pytest.raises(UserError, match="unknown precision 'fp16'; expected one of float32, bf16"):
        Run(0, Budget(epochs=1), precision="fp16")
