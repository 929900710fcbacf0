"""What form `reference` weighs its terms with: delta of the summed RP, beta, and N / N_m."""

from pathlib import Path

import torch

from passion.data.loading import Batch
from passion.networks import Segmenter, build
from passion.objectives import Passion, measure_preference

INVERSE = torch.tensor([1.0, 2.0, 4.0])
BETA = torch.tensor([0.5, 1.5, 0.7])


def small_network() -> Segmenter:
    torch.manual_seed(0)
    return build("rfnet", modalities=3, classes=3, spatial_dims=2, width=4, patch_size=32).eval()


def of_two_minds() -> tuple[Batch, torch.Tensor]:
    """Two samples, and their RP: of at least one modality the sum has another sign than one of them."""
    present = torch.tensor([[True, True, True], [True, True, False]])
    for seed in range(20):
        random = torch.Generator().manual_seed(seed)
        images = torch.randn(2, 3, 32, 32, generator=random) * torch.tensor([0.1, 1, 3])[:, None, None]
        batch = Batch(images, present, present, torch.randint(0, 3, (2, 32, 32), generator=random))
        preference = measure_preference(small_network(), batch).preference
        assert preference is not None
        if ((preference < 0) != (preference.sum(0) < 0))[present].any():
            return batch, preference
    raise AssertionError("no such batch")


def weights(batch: Batch) -> dict[str, torch.Tensor]:
    """Of the terms, (B, M) each."""
    objective = Passion(INVERSE, form="reference")
    objective.gradient_weight.beta.copy_(BETA)
    terms = objective(small_network(), batch).terms
    return {
        name: torch.as_tensor(terms[name].weight).expand(batch.present.shape)
        for name in ("pixel", "semantic", "unimodal")
    }


def expected(preference: torch.Tensor) -> dict[str, torch.Tensor]:
    """The same for RP (B, M) of a whole batch, (M,) each."""
    delta = (preference.sum(0) < 0).float()
    return {"pixel": 0.5 * BETA * INVERSE, "semantic": 0.1 * delta * INVERSE, "unimodal": delta * BETA * INVERSE}


def test_weights_of_the_terms() -> None:
    batch, preference = of_two_minds()
    wanted = expected(preference)
    assert 0 < (wanted["semantic"] > 0).sum() < 3
    for name, found in weights(batch).items():
        for row in found:
            torch.testing.assert_close(row, wanted[name], msg=name)


def weigh_own_sample(rank: int, folder: Path, batch: Batch) -> None:
    """What one of two processes does."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    own = slice(rank, rank + 1)
    found = weights(Batch(batch.images[own], batch.present[own], batch.fed[own], batch.target[own]))
    torch.save(found, folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()


def test_preference_is_summed_over_processes(tmp_path: Path) -> None:
    batch, preference = of_two_minds()
    torch.multiprocessing.spawn(weigh_own_sample, (tmp_path, batch), nprocs=2)
    for rank in range(2):
        for name, found in torch.load(tmp_path / f"{rank}.pt").items():
            torch.testing.assert_close(found[0], expected(preference)[name], msg=name)
