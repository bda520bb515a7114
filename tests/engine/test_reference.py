"""KL and entropy terms in the learner, against autograd on plain forward passes of two models."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from practicum.engine.local import batching as module
from practicum.engine.local.learner import LocalLearner
from practicum.engine.protocol import AdamParams
from practicum.errors import ModelError

STEP = AdamParams(learning_rate=1e-2, grad_clip_norm=1e9)
BOTH = {"kl_coef": 0.7, "entropy_coef": 0.3}


def trained(learner: LocalLearner, data: Any, steps: int = 2) -> None:
    for _ in range(steps):
        learner.forward_backward(data, "cross_entropy", {})
        learner.optim_step(STEP)


def saved(learner: LocalLearner, folder: Any) -> Any:
    folder.mkdir()
    learner.save(folder)
    return folder


def weights(learner: LocalLearner) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in learner._policy.model.named_parameters()}


@pytest.mark.parametrize("config", [BOTH, {"kl_coef": 0.7}, {"entropy_coef": 0.3}], ids=["both", "kl", "entropy"])
@pytest.mark.parametrize(("rank", "temperature"), [(0, 1.0), (4, 0.7)], ids=["full", "lora-tempered"])
@pytest.mark.parametrize("at_once", [None, 300 * 3], ids=["one chunk", "chunks of three"])
def test_loss_gradient_and_metrics_are_those_of_the_definitions(
    tiny_policy: Any, plain_logits: Any, random_data: Any, tmp_path: Any, monkeypatch: Any, config: Any, rank: int,
    temperature: float, at_once: int | None,
) -> None:  # fmt: skip
    if at_once:
        monkeypatch.setattr(module, "LOGITS_AT_ONCE", at_once)
    policy = tiny_policy()
    learner = LocalLearner(policy, lora_rank=rank, train_embeddings=not rank, micro_batch_tokens=90)
    trained(learner, random_data(1))
    start = saved(learner, tmp_path / "start")
    learner.keep_reference(start)
    data = random_data(2, temperature=temperature)

    def tables() -> list[torch.Tensor]:
        return [torch.log_softmax(plain_logits(policy, d.tokens)[:-1] / temperature, -1) for d in data]

    with torch.no_grad():
        before = tables()
    trained(learner, random_data(3), steps=4)
    total, entropies, divergences = torch.zeros(()), list[torch.Tensor](), list[torch.Tensor]()
    for datum, table, reference in zip(data, tables(), before, strict=True):
        here = torch.as_tensor(datum.mask[1:]).bool()
        target = torch.as_tensor(datum.tokens[1:])[:, None]
        logprob, base = (x.gather(1, target)[here, 0] for x in (table, reference))
        old, advantage = (torch.as_tensor(x[1:])[here] for x in (datum.logprobs, datum.advantages))
        r = base - logprob
        undecided = -(table.exp() * table).sum(-1)[here]
        loss = -torch.exp(logprob - old) * advantage
        loss = loss + config.get("kl_coef", 0.0) * (r.exp() - r - 1) - config.get("entropy_coef", 0.0) * undecided
        total = total + datum.weight * loss.sum()
        entropies.append(undecided)
        divergences.append((table.exp() * (table - reference)).sum(-1)[here])
    parameters = {n: p for n, p in policy.model.named_parameters() if p.requires_grad}
    expected = dict(zip(parameters, torch.autograd.grad(total, list(parameters.values())), strict=True))

    stats = learner.forward_backward(data, "importance_sampling", config)

    assert stats.loss == pytest.approx(total.item(), rel=1e-4)
    assert stats.metrics["entropy"] == pytest.approx(torch.cat(entropies).mean().item(), rel=1e-4)
    if "kl_coef" in config:
        apart = torch.cat(divergences).mean().item()
        assert apart > 0.01
        assert stats.metrics["kl"] == pytest.approx(apart, rel=1e-3)
    else:
        assert "kl" not in stats.metrics
    for name, gradient in expected.items():
        scale = gradient.abs().max().clamp(min=1e-6)
        torch.testing.assert_close(learner._masters[name].grad / scale, gradient / scale, atol=5e-5, rtol=0)


@pytest.mark.parametrize("rank", [0, 4], ids=["full", "lora"])
def test_training_does_not_move_the_reference_and_shares_what_is_frozen(
    tiny_policy: Any, random_data: Any, tmp_path: Any, rank: int
) -> None:
    learner = LocalLearner(tiny_policy(), lora_rank=rank)
    trained(learner, random_data(1))
    at_start = weights(learner)
    learner.keep_reference(saved(learner, tmp_path / "start"))
    trained(learner, random_data(2))
    assert learner._reference is not None
    kept = dict(learner._reference.model.named_parameters())
    now = dict(learner._policy.model.named_parameters())
    assert all(torch.equal(kept[name], value) for name, value in at_start.items())
    for name, parameter in now.items():
        assert (kept[name] is parameter) is not parameter.requires_grad, name
        assert not kept[name].requires_grad


def test_right_after_the_start_there_is_no_divergence_and_no_pull(
    tiny_policy: Any, random_data: Any, tmp_path: Any
) -> None:
    learner = LocalLearner(tiny_policy(), lora_rank=4)
    trained(learner, random_data(1))
    learner.keep_reference(saved(learner, tmp_path / "start"))
    data = [replace(d, advantages=d.advantages * 0) for d in random_data(2)]
    stats = learner.forward_backward(data, "ppo", {"kl_coef": 1.0})
    assert stats.metrics["kl"] == pytest.approx(0.0, abs=1e-6)
    assert learner.optim_step(STEP)["grad_norm"] < 1e-5


@pytest.mark.parametrize("rank", [0, 4], ids=["full", "lora"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_a_resumed_learner_has_the_same_reference_bit_for_bit(
    tiny_policy: Any, random_data: Any, tmp_path: Any, rank: int, dtype: torch.dtype
) -> None:
    def step(learner: LocalLearner, seed: int) -> None:
        learner.forward_backward(random_data(seed), "ppo", BOTH)
        learner.optim_step(STEP)

    straight = LocalLearner(tiny_policy(dtype=dtype), lora_rank=rank)
    trained(straight, random_data(0))
    straight.reset_optimizer()
    start = saved(straight, tmp_path / "start")
    straight.evaluate(random_data(0))  # what is computed without gradients may leave packed weights behind
    straight.keep_reference(start)
    step(straight, 1)
    middle = saved(straight, tmp_path / "middle")
    step(straight, 2)
    resumed = LocalLearner(tiny_policy(dtype=dtype), lora_rank=rank, seed=9)
    resumed.load(middle)
    resumed.keep_reference(start)
    step(resumed, 2)
    assert all(torch.equal(w, resumed.snapshot()[n]) for n, w in straight.snapshot().items())


def test_the_penalty_keeps_the_policy_nearer_and_the_bonus_more_undecided(
    tiny_policy: Any, random_data: Any, tmp_path: Any
) -> None:
    def after(config: dict[str, float]) -> dict[str, float]:
        learner = LocalLearner(tiny_policy(), lora_rank=4)
        learner.keep_reference(saved(learner, tmp_path / str(len(list(tmp_path.iterdir())))))
        for _ in range(15):
            learner.forward_backward(random_data(1), "cispo", config)
            learner.optim_step(STEP)
        return dict(learner.forward_backward(random_data(1), "cispo", {"kl_coef": 1e-9}).metrics)

    plain, near, spread = after({}), after({"kl_coef": 50.0}), after({"entropy_coef": 5.0})
    assert near["kl"] < 0.7 * plain["kl"]
    assert spread["entropy"] > plain["entropy"] + 0.05


def test_a_penalty_without_a_reference_is_refused(tiny_policy: Any, random_data: Any) -> None:
    with pytest.raises(ModelError, match="no reference policy"):
        LocalLearner(tiny_policy()).forward_backward(random_data(1), "ppo", {"kl_coef": 0.1})


def test_a_reference_of_other_weights_is_refused(tiny_policy: Any, tmp_path: Any) -> None:
    start = saved(LocalLearner(tiny_policy(), lora_rank=4), tmp_path / "start")
    with pytest.raises(ModelError, match="lora_rank"):
        LocalLearner(tiny_policy(), lora_rank=8).keep_reference(start)
