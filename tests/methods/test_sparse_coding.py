from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from fits import blobs, encoded, fitted, interrupting
from reprbench.methods import kmeans
from reprbench.methods.patches import every_patch, normalize_contrast
from reprbench.methods.sparse_coding import SC, alternation, lasso, omp1_step, sparse_codes, unit_rows
from sklearn.decomposition import sparse_encode

from reprbench.learner import make
from reprbench.run_context import Budget, Run
from reprbench.state import learner_state

SMALL = {"receptive_field": 4, "n_features": 12, "n_patches": 400, "iterations": 6}


def problem(patches: int = 60, rows: int = 40, size: int = 12, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    dictionary = unit_rows(torch.randn(rows, size, generator=generator))
    return torch.randn(patches, size, generator=generator), dictionary


def plain_omp1_step(patches: np.ndarray, dictionary: np.ndarray) -> tuple[np.ndarray, float]:
    """Each patch is coded by its one best row; the sums of s·z and the mean of ½‖z − s·d‖², by loops."""
    sums, error = np.zeros_like(dictionary), 0.0
    for z in patches:
        responses = dictionary @ z
        best = int(np.argmax(np.abs(responses)))
        sums[best] += responses[best] * z
        error += np.sum((z - responses[best] * dictionary[best]) ** 2) / 2
    return sums, error / len(patches)


@pytest.mark.parametrize("chunk", [7, 2048])
def test_a_step_of_omp1_is_its_formula(monkeypatch, chunk):
    monkeypatch.setattr(kmeans, "CHUNK", chunk)
    patches, dictionary = problem()
    dictionary = torch.cat([dictionary, torch.zeros(1, 12)])  # wins nothing
    sums, objective, unused = omp1_step(patches, dictionary)
    expected, error = plain_omp1_step(patches.double().numpy(), dictionary.double().numpy())
    np.testing.assert_allclose(sums.numpy(), expected, atol=1e-5)
    assert objective == pytest.approx(error, rel=1e-5)
    assert unused.tolist() == (np.square(expected).sum(1) < 1e-3).tolist() and unused[-1]


def test_omp1_never_gets_worse_and_its_rows_have_unit_norm():
    learner, run = fitted(SC, blobs(60, (3, 12, 12)), **{**SMALL, "iterations": 15})
    objectives = [row["objective"] for row in run.history]
    assert all(after <= before * (1 + 1e-6) for before, after in pairwise(objectives))
    assert objectives[-1] < objectives[0]
    np.testing.assert_allclose(learner.dictionary.norm(dim=1).numpy(), 1, rtol=1e-5)


def test_rows_that_win_nothing_are_drawn_anew_from_the_seed():
    images = blobs(10)
    # More rows than patches: most win nothing.
    one, run = fitted(SC, images, **{**SMALL, "n_features": 60, "n_patches": 20})
    two, _ = fitted(SC, images, **{**SMALL, "n_features": 60, "n_patches": 20})
    assert run.history[0]["redrawn"] > 0
    assert torch.equal(one.dictionary, two.dictionary)
    np.testing.assert_allclose(one.dictionary.norm(dim=1).numpy(), 1, rtol=1e-5)


@pytest.mark.parametrize("penalty", [0.3, 1.0])
def test_sparse_codes_reach_the_lasso_of_scikit_learn(penalty):
    patches, dictionary = problem(40, 120, 27)
    mine = lasso(patches, dictionary, sparse_codes(patches, dictionary, penalty), penalty).double()
    theirs = sparse_encode(
        patches.double().numpy(), dictionary.double().numpy(), algorithm="lasso_cd", alpha=penalty, max_iter=20_000
    )
    least = lasso(patches.double(), dictionary.double(), torch.from_numpy(theirs), penalty)
    assert ((mine - least) / least).max() < 1e-3
    assert ((mine - least) / least).min() > -1e-5


def test_the_lasso_objective_is_its_formula():
    patches, dictionary = problem(5, 6, 4)
    codes = sparse_codes(patches, dictionary, 0.1, steps=3)
    for z, s, found in zip(patches.numpy(), codes.numpy(), lasso(patches, dictionary, codes, 0.1), strict=True):
        expected = 0.5 * np.sum((z - s @ dictionary.numpy()) ** 2) + 0.1 * np.abs(s).sum()
        assert float(found) == pytest.approx(expected, rel=1e-5)


def test_a_code_does_not_depend_on_the_other_patches():
    patches, dictionary = problem()
    together = sparse_codes(patches, dictionary, 0.5)
    torch.testing.assert_close(sparse_codes(patches[3:4], dictionary, 0.5), together[3:4], rtol=1e-4, atol=1e-5)


def test_an_alternation_sets_each_row_to_what_is_best_and_lowers_the_objective():
    patches, dictionary = problem(300, 10, 8)
    following, first, unused = alternation(patches, dictionary, 0.3)
    assert not unused.any()
    np.testing.assert_allclose(following.norm(dim=1).numpy(), 1, rtol=1e-5)
    codes = sparse_codes(patches, dictionary, 0.3)
    assert first == pytest.approx(float(lasso(patches, dictionary, codes, 0.3).mean()), rel=1e-5)
    # With the codes fixed, the pass over the rows lowers the error, and no other unit vector in the last row's place is
    # better: the gradient of the error in that row is along the row.
    error = [float((patches - codes @ rows).square().sum()) for rows in (dictionary, following)]
    assert error[1] < error[0]
    slope = codes[:, -1] @ (patches - codes @ following)
    across = slope - (slope @ following[-1]) * following[-1]
    assert across.norm() < 1e-3 * max(1.0, float(slope.norm()))
    assert alternation(patches, following, 0.3)[1] < first


def test_an_unused_row_is_reported():
    patches, dictionary = problem(100, 5, 8)
    # Neither the patches nor the other rows have anything in its direction.
    patches[:, 0] = dictionary[:, 0] = 0
    useless = torch.eye(8)[:1]
    _, _, unused = alternation(patches, torch.cat([unit_rows(dictionary), useless]), 0.5)
    assert unused.tolist() == [False] * 5 + [True]


@pytest.mark.parametrize("encoder", ["soft-threshold", "sparse-coding"])
@pytest.mark.parametrize("training", ["omp1", "sparse-coding"])
def test_features_at_a_position_equal_a_direct_computation(training, encoder):
    images = blobs(40, (3, 9, 11))
    parameters = {**SMALL, "training": training, "encoder": encoder, "threshold": 0.1, "penalty": 0.2}
    learner, run = fitted(SC, images, **parameters)
    assert len(run.history) == SMALL["iterations"]
    x = images.batch(slice(0, 2))
    (maps,) = encoded(learner, x).values()
    assert maps.shape == (2, 24, 6, 8)
    patch = normalize_contrast(every_patch(255 * x, 4, 1)[1, 2, 3][None].clone(), 10.0).double()
    z = (patch - learner.mean) @ learner.matrix.double()
    dictionary = learner.dictionary.double()
    if encoder == "soft-threshold":
        code, shift = z @ dictionary.T, 0.1
    else:
        code = torch.from_numpy(sparse_encode(z.numpy(), dictionary.numpy(), algorithm="lasso_cd", alpha=0.2))
        shift = 0.0
    expected = torch.cat([(code - shift).clamp(min=0), (-code - shift).clamp(min=0)], 1)[0]
    torch.testing.assert_close(maps[1, :, 2, 3].double(), expected, rtol=2e-2, atol=2e-3)


def test_the_number_of_iterations_is_the_papers_unless_given():
    images = blobs(10)
    few = {"receptive_field": 4, "n_features": 4, "n_patches": 30}
    for training, iterations in (("omp1", 50), ("sparse-coding", 10)):
        learner = make(SC, {**few, "training": training}, images.shape)
        run = Run(0, Budget(epochs=1))
        learner.fit(images, run)
        assert len(run.history) == iterations


@pytest.mark.parametrize("training", ["omp1", "sparse-coding"])
def test_an_interrupted_fit_goes_on_bit_for_bit(training, tmp_path, checkpoints):
    images, parameters = blobs(10), {**SMALL, "training": training, "n_features": 60, "n_patches": 50}
    undisturbed, _ = fitted(SC, images, **parameters)
    with pytest.raises(KeyboardInterrupt):
        make(SC, parameters, images.shape).fit(
            images, Run(0, Budget(epochs=1), folder=tmp_path, progress=interrupting(3))
        )
    resumed, run = fitted(SC, images, folder=tmp_path, **parameters)
    assert len(run.history) == SMALL["iterations"]
    one, other = learner_state(undisturbed), learner_state(resumed)
    assert all(torch.equal(one[name], other[name]) for name in one)
