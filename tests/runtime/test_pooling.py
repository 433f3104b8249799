from __future__ import annotations

import numpy as np
import pytest
import torch

from scaffold.runtime.encoders.pooling import AttentionMaxPool, max_pool, mean_pool


def attention_max_pool(hidden, mask):
    torch.manual_seed(13)
    return AttentionMaxPool(hidden.shape[-1], heads=2).to(hidden.dtype)(hidden, mask).detach()


POOLS = (mean_pool, max_pool, attention_max_pool)


def states(side="right"):
    """Three rows of lengths 4, 2 and 1, padded to 5 on one side."""
    hidden = torch.from_numpy(np.random.default_rng(13).normal(size=(3, 5, 2)).astype(np.float32))
    mask = torch.tensor([[1, 1, 1, 1, 0], [1, 1, 0, 0, 0], [1, 0, 0, 0, 0]])
    return hidden, mask if side == "right" else mask.flip(1)


def rows(hidden, mask):
    return [row[keep.astype(bool)] for row, keep in zip(hidden.numpy(), mask.numpy(), strict=True)]


@pytest.mark.parametrize("side", ["right", "left"])
def test_mean_and_max_are_over_real_tokens(side):
    hidden, mask = states(side)
    mean = np.stack([row.mean(axis=0) for row in rows(hidden, mask)])
    top = np.stack([row.max(axis=0) for row in rows(hidden, mask)])
    np.testing.assert_allclose(mean_pool(hidden, mask), mean, rtol=1e-6)
    np.testing.assert_array_equal(max_pool(hidden, mask), top)


@pytest.mark.parametrize("side", ["right", "left"])
def test_attention_weighs_real_tokens_by_a_softmax_of_their_scores(side):
    hidden, mask = states(side)
    pool = AttentionMaxPool(2, heads=2)
    query, bias = pool.query.weight.detach().numpy(), pool.query.bias.detach().numpy()
    expected = []
    for row in rows(hidden, mask):
        scores = np.exp(row @ query.T + bias)
        weights = scores / scores.sum(axis=0)
        expected.append([*(weights * row).sum(axis=0), *row.max(axis=0)])
    np.testing.assert_allclose(pool(hidden, mask).detach(), expected, rtol=1e-5)


def test_heads_must_divide_the_features():
    with pytest.raises(ValueError, match="Expected a size that 4 heads divide, got 6"):
        AttentionMaxPool(6)


@pytest.mark.parametrize("pool", POOLS)
def test_padding_counts_for_nothing(pool):
    hidden, mask = states()
    padded = hidden.masked_fill(mask.unsqueeze(-1) == 0, 1e4)
    assert torch.equal(pool(padded, mask), pool(hidden.masked_fill(mask.unsqueeze(-1) == 0, 0.0), mask))


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_row_without_tokens_gives_finite_numbers_of_the_same_type(pool, dtype):
    found = pool(torch.ones(1, 3, 2, dtype=dtype), torch.zeros(1, 3, dtype=torch.long))
    assert found.dtype == dtype
    assert torch.isfinite(found).all()
