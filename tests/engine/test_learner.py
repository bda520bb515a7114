"""Gradients, optimizer steps and files of the learner, against plain Transformers, autograd and torch.optim."""

import json
from dataclasses import replace

import numpy as np
import peft
import pytest
import torch
import transformers as tf

from practicum.algorithms.losses import TrainingSequence
from practicum.engine.local import batching as module
from practicum.engine.local.learner import LocalLearner
from practicum.engine.protocol import AdamParams
from practicum.errors import ModelError

LOSSES = ["cross_entropy", "importance_sampling", "ppo", "cispo"]
ADAM = AdamParams(learning_rate=1e-2, weight_decay=0.1, grad_clip_norm=1e9)


def reference_loss(name, logprobs, old, advantage):
    """The definitions of the published losses, token by token."""
    ratio = torch.exp(logprobs - old)
    match name:
        case "cross_entropy":
            return -logprobs
        case "importance_sampling":
            return -ratio * advantage
        case "ppo":
            return -torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage)
        case "cispo":
            return -ratio.clamp(1.0, 6.0).detach() * logprobs * advantage


def reference_total(name, policy, data, plain_logprobs):
    """Σ weight · loss over trained tokens, one plain forward pass a sequence."""
    total = torch.zeros(())
    for datum in data:
        logprobs = plain_logprobs(policy, datum.tokens, datum.temperature)
        here = torch.as_tensor(datum.mask[1:]).bool()
        old, advantage = (torch.as_tensor(x[1:])[here] for x in (datum.logprobs, datum.advantages))
        total = total + datum.weight * reference_loss(name, logprobs[here], old, advantage).sum()
    return total


def gradients(learner):
    return {name: master.grad for name, master in learner._masters.items()}


def assert_same_direction(given, expected, tolerance=2e-5):
    assert given.keys() == expected.keys()
    for name, gradient in given.items():
        scale = expected[name].abs().max().clamp(min=1e-6)
        torch.testing.assert_close(gradient / scale, expected[name] / scale, atol=tolerance, rtol=0)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(
    ("family", "shared", "temperature"), [("llama", 20, 1.0), ("llama-untied", 0, 0.7), ("gemma", 20, 1.3)]
)
def test_the_gradient_is_autograds_on_plain_forward_passes(
    tiny_policy, plain_logprobs, random_data, name, family, shared, temperature
):
    policy = tiny_policy(family)
    data = random_data(3, shared=shared, temperature=temperature)
    # Sampler log-probabilities near the policy's, so that ratios lie inside and outside the clip bounds.
    shift = np.random.default_rng(0)
    data = [
        replace(d, logprobs=np.concatenate([[0], plain_logprobs(policy, d.tokens, temperature).detach().numpy()])
                .astype(np.float32) + shift.normal(0, 0.3, len(d.tokens)).astype(np.float32))
        for d in data
    ]  # fmt: skip
    learner = LocalLearner(policy, train_embeddings=True)
    stats = learner.forward_backward(data, name, {})

    reference = tiny_policy(family)
    expected = reference_total(name, reference, data, plain_logprobs)
    expected.backward()
    assert stats.loss == pytest.approx(expected.item(), rel=1e-4, abs=1e-4)
    assert stats.tokens == sum(int(d.mask.sum()) for d in data)
    assert_same_direction(gradients(learner), {n: p.grad for n, p in reference.model.named_parameters()})


def groups_that_begin_alike(tasks=3, rollouts=5, seed=0):
    """Rollouts of tasks: a prompt for all, a call and a result of the task's, then answers, some of them the same."""
    rng = np.random.default_rng(seed)
    prompt, data = rng.integers(3, 300, 24), []
    for _ in range(tasks):
        trunk = [prompt, *(rng.integers(3, 300, length) for length in (4, 9, 8))]
        answers = [rng.integers(3, 300, length) for length in (6, 11, 6)]
        for rollout in range(rollouts):
            tokens = np.concatenate([*trunk, answers[min(rollout, 2)]])
            mask = np.zeros(len(tokens), dtype=np.int64)
            mask[28:37] = mask[45:] = 1
            logprobs = np.where(mask, rng.uniform(-8, -4, len(tokens)), 0.0).astype(np.float32)
            advantages = np.where(mask, rng.normal(), 0.0).astype(np.float32)
            data.append(TrainingSequence(tokens, mask, advantages, logprobs, 1.0, float(rng.uniform(0.5, 2))))
    return data


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("at_once", [2**20, 30], ids=["whole", "blocks"])
def test_what_rollouts_share_is_computed_once_with_the_gradient_of_all_of_them(
    tiny_policy, plain_logprobs, monkeypatch, name, at_once
):
    monkeypatch.setattr("practicum.engine.local.attention.SCORES_AT_ONCE", at_once)
    data, policy, fed = groups_that_begin_alike(), tiny_policy(), []
    hidden = policy.hidden
    monkeypatch.setattr(policy, "hidden", lambda tokens, *rest: fed.append(len(tokens)) or hidden(tokens, *rest))
    learner = LocalLearner(policy, train_embeddings=True)
    stats = learner.forward_backward(data, name, {})

    reference = tiny_policy()
    expected = reference_total(name, reference, data, plain_logprobs)
    expected.backward()
    assert stats.loss == pytest.approx(expected.item(), rel=1e-4, abs=1e-4)
    assert_same_direction(gradients(learner), {n: p.grad for n, p in reference.model.named_parameters()})
    assert sum(fed) == 24 + 3 * (21 + 6 + 11 + 6)


@pytest.mark.parametrize("budget", [1, 60, 100_000])
def test_gradient_and_metrics_do_not_depend_on_how_the_batch_is_cut(tiny_policy, random_data, budget):
    data = random_data(5, rows=7)
    whole, cut = LocalLearner(tiny_policy()), LocalLearner(tiny_policy(), micro_batch_tokens=budget)
    expected, given = (x.forward_backward(data, "importance_sampling", {}) for x in (whole, cut))
    assert given.loss == pytest.approx(expected.loss, rel=1e-4)
    assert given.tokens == expected.tokens
    assert given.metrics == pytest.approx(expected.metrics, rel=1e-4)
    assert_same_direction(gradients(cut), gradients(whole))


def test_gradients_of_two_calls_add_up(tiny_policy, random_data):
    data = random_data(8, rows=4)
    once, twice = LocalLearner(tiny_policy()), LocalLearner(tiny_policy())
    once.forward_backward(data, "cross_entropy", {})
    twice.forward_backward(data[:1], "cross_entropy", {})
    twice.forward_backward(data[1:], "cross_entropy", {})
    assert_same_direction(gradients(twice), gradients(once))


def test_more_trained_tokens_than_one_chunk_of_logits(tiny_policy, plain_logprobs, monkeypatch):
    monkeypatch.setattr(module, "LOGITS_AT_ONCE", 256 * 300)
    rng = np.random.default_rng(1)
    data = []
    for length in (300, 290):
        mask = np.ones(length, dtype=np.int64)
        mask[0] = 0
        data.append(TrainingSequence(rng.integers(3, 300, length), mask, np.zeros(length), np.zeros(length)))
    learner, reference = LocalLearner(tiny_policy(), train_embeddings=True), tiny_policy()
    stats = learner.forward_backward(data, "cross_entropy", {})
    expected = reference_total("cross_entropy", reference, data, plain_logprobs)
    expected.backward()
    assert stats.loss == pytest.approx(expected.item(), rel=1e-5)
    assert stats.metrics["nll"] == pytest.approx(expected.item() / stats.tokens, rel=1e-5)
    assert_same_direction(gradients(learner), {n: p.grad for n, p in reference.model.named_parameters()})


@pytest.mark.parametrize("vocabularies", [1, 7, 20])
def test_logits_never_exist_for_more_positions_than_the_bound(tiny_policy, random_data, monkeypatch, vocabularies):
    monkeypatch.setattr(module, "LOGITS_AT_ONCE", vocabularies * 300 + 299)
    policy, data, seen = tiny_policy(), random_data(4, rows=6), []
    logits = policy.logits
    monkeypatch.setattr(policy, "logits", lambda hidden: seen.append(len(hidden)) or logits(hidden))
    learner = LocalLearner(policy)
    learner.forward_backward(data, "ppo", {"entropy_coef": 0.1})
    assert max(seen) == vocabularies
    # And for what predicts a trained token only, once where sequences share it.
    assert sum(seen) == len({tuple(d.tokens[:place]) for d in data for place in np.flatnonzero(d.mask)})


def test_evaluate_is_the_mean_cross_entropy_and_leaves_no_gradient(tiny_policy, plain_logprobs, random_data):
    policy, data = tiny_policy(), random_data(2)
    learner = LocalLearner(policy)
    weightless = [replace(d, weight=1.0) for d in data]
    with torch.no_grad():
        total = reference_total("cross_entropy", policy, weightless, plain_logprobs)
    assert learner.evaluate(data) == pytest.approx(total.item() / sum(d.mask.sum() for d in data), rel=1e-5)
    assert all(gradient is None for gradient in gradients(learner).values())


def test_without_a_trained_token_there_is_no_loss_and_no_gradient(tiny_policy, random_data):
    learner = LocalLearner(tiny_policy())
    stats = learner.forward_backward([replace(d, mask=np.zeros_like(d.mask)) for d in random_data(1)], "ppo", {})
    assert (stats.loss, stats.tokens) == (0.0, 0)
    assert all(gradient is None for gradient in gradients(learner).values())


def test_a_trained_first_token_is_refused(tiny_policy, random_data):
    datum = random_data(1)[0]
    datum.mask[0] = 1
    with pytest.raises(ModelError, match="nothing precedes it"):
        LocalLearner(tiny_policy()).forward_backward([datum], "cross_entropy", {})


@pytest.mark.parametrize("clip", [0.0, 1e9, 0.5], ids=["unclipped", "far from clipped", "clipped"])
def test_steps_are_those_of_torchs_adamw(tiny_policy, plain_logprobs, random_data, clip):
    """A gradient of plain size: the optimizer divides by it, so only what is not near zero can be compared."""
    params = replace(ADAM, grad_clip_norm=clip)
    policy, reference = tiny_policy("llama-untied"), tiny_policy("llama-untied")
    learner = LocalLearner(policy)
    reference.model.get_input_embeddings().requires_grad_(False)
    reference.model.get_output_embeddings().requires_grad_(False)
    weights = [p for p in reference.model.parameters() if p.requires_grad]
    adamw = torch.optim.AdamW(weights, lr=1e-2, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
    for step in range(3):
        data = random_data(step)
        learner.forward_backward(data, "cross_entropy", {})
        # The same gradient on both sides: this test is about the step alone.
        masters = dict(zip(learner._masters, weights, strict=True))
        for name, weight in masters.items():
            weight.grad = learner._masters[name].grad.clone()
        norm = torch.nn.utils.clip_grad_norm_(weights, clip or float("inf"))
        assert learner.optim_step(params)["grad_norm"] == pytest.approx(float(norm), rel=1e-6)
        adamw.step()
    assert policy.version == 3
    for (name, given), expected in zip(policy.model.named_parameters(), reference.model.parameters(), strict=True):
        torch.testing.assert_close(given, expected, atol=1e-6, rtol=1e-5, msg=name)


def test_a_step_clears_the_gradient(tiny_policy, random_data):
    learner = LocalLearner(tiny_policy())
    learner.forward_backward(random_data(0), "cross_entropy", {})
    learner.optim_step(ADAM)
    before = learner.snapshot()
    assert learner.optim_step(replace(ADAM, weight_decay=0.0))["grad_norm"] == 0.0
    assert all(torch.equal(before[n], w) for n, w in learner.snapshot().items())


def test_embeddings_stay_as_they_are_unless_asked_for(tiny_policy, random_data):
    for train in (False, True):
        policy = tiny_policy()
        before = policy.model.get_input_embeddings().weight.clone()
        learner = LocalLearner(policy, train_embeddings=train)
        learner.forward_backward(random_data(0), "cross_entropy", {})
        learner.optim_step(ADAM)
        assert torch.equal(before, policy.model.get_input_embeddings().weight) is not train


def test_small_steps_add_up_in_the_masters_of_a_bfloat16_model(tiny_policy, random_data):
    policy = tiny_policy(dtype=torch.bfloat16)
    before = {n: p.detach().clone() for n, p in policy.model.named_parameters()}
    learner = LocalLearner(policy)
    small = AdamParams(learning_rate=1e-5)
    for _ in range(5):
        learner.forward_backward(random_data(0), "cross_entropy", {})
        learner.optim_step(small)
    name = "model.layers.0.mlp.up_proj.weight"
    moved = (learner.snapshot()[name] - before[name].float()).abs()
    assert moved.median() == pytest.approx(5e-5, rel=0.2)  # five steps of the learning rate each
    for name, parameter in policy.model.named_parameters():
        if name in learner.snapshot():
            assert torch.equal(parameter, learner.snapshot()[name].to(torch.bfloat16))


@pytest.mark.parametrize("rank", [0, 4], ids=["full", "lora"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_a_loaded_checkpoint_continues_bit_for_bit(tiny_policy, random_data, tmp_path, rank, dtype):
    def step(learner, seed):
        learner.forward_backward(random_data(seed), "cross_entropy", {})
        learner.optim_step(ADAM)

    straight = LocalLearner(tiny_policy(dtype=dtype), lora_rank=rank)
    for seed in range(2):
        step(straight, seed)
    straight.save(tmp_path)
    step(straight, 2)
    resumed_policy = tiny_policy(dtype=dtype, seed=0)
    resumed = LocalLearner(resumed_policy, lora_rank=rank, seed=77)
    resumed.load(tmp_path)
    assert resumed_policy.version == 2
    step(resumed, 2)
    assert all(torch.equal(w, resumed.snapshot()[n]) for n, w in straight.snapshot().items())
    given = dict(resumed_policy.model.named_parameters())
    for name, parameter in straight._policy.model.named_parameters():
        assert torch.equal(parameter, given[name]), name


def test_a_checkpoint_of_other_weights_is_refused(tiny_policy, tmp_path):
    LocalLearner(tiny_policy(), lora_rank=4).save(tmp_path)
    with pytest.raises(ModelError, match="lora_rank"):
        LocalLearner(tiny_policy(), lora_rank=8).load(tmp_path)


def test_restore_puts_weights_back_and_forgets_moments(tiny_policy, random_data):
    policy = tiny_policy()
    learner = LocalLearner(policy)
    start = learner.snapshot()
    model_before = {n: p.detach().clone() for n, p in policy.model.named_parameters()}

    def two_steps():
        for seed in range(2):
            learner.forward_backward(random_data(seed), "cross_entropy", {})
            learner.optim_step(ADAM)
        return learner.snapshot()

    first = two_steps()
    assert not torch.equal(first["model.norm.weight"], start["model.norm.weight"])
    learner.restore(start)
    assert all(torch.equal(model_before[n], p) for n, p in policy.model.named_parameters())
    again = two_steps()
    assert all(torch.equal(first[n], again[n]) for n in first)


def test_lora_trains_adapters_only_and_starts_from_the_base_model(tiny_policy, plain_logits, random_data):
    base, policy = tiny_policy(), tiny_policy()
    learner = LocalLearner(policy, lora_rank=4, lora_alpha=8)
    tokens = random_data(0)[0].tokens
    with torch.no_grad():
        torch.testing.assert_close(plain_logits(policy, tokens), plain_logits(base, tokens))
    before = {n: p.detach().clone() for n, p in policy.model.named_parameters()}
    for seed in range(2):
        learner.forward_backward(random_data(seed), "cross_entropy", {})
        learner.optim_step(ADAM)
    changed = {n for n, p in policy.model.named_parameters() if not torch.equal(before[n], p)}
    assert changed == {n for n in before if "lora_" in n}
    # Two matrices on each of seven linear layers, twice; the head is left alone.
    assert len(changed) == 2 * 7 * 2


def test_an_exported_adapter_gives_the_same_logits_under_peft(tiny_policy, plain_logits, random_data, tmp_path):
    policy = tiny_policy()
    policy.model.save_pretrained(policy.folder)
    learner = LocalLearner(policy, lora_rank=4, lora_alpha=8)
    for seed in range(3):
        learner.forward_backward(random_data(seed), "cross_entropy", {})
        learner.optim_step(ADAM)
    out = tmp_path / "out"
    out.mkdir()
    learner.export(out)

    config = json.loads((out / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(policy.folder)
    # In one order: that of a set differs from process to process, and a resumed run's digest would with it.
    assert config["target_modules"] == sorted(config["target_modules"])
    assert len(config["target_modules"]) > 10
    base = tf.AutoModelForCausalLM.from_pretrained(policy.folder, attn_implementation="eager").eval()
    tokens = random_data(9)[0].tokens
    with torch.no_grad():
        expected = plain_logits(policy, tokens)
        untrained = base(torch.as_tensor(tokens)[None]).logits[0]
        adapted = peft.PeftModel.from_pretrained(base, out).eval()(torch.as_tensor(tokens)[None]).logits[0]
    assert (untrained - expected).abs().max() > 0.1
    torch.testing.assert_close(adapted, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", ["llama", "llama-untied"])
def test_an_exported_model_gives_the_same_logits_under_transformers(
    tiny_policy, plain_logits, random_data, tmp_path, family
):
    policy = tiny_policy(family)
    learner = LocalLearner(policy)
    learner.forward_backward(random_data(0), "cross_entropy", {})
    learner.optim_step(ADAM)
    learner.export(tmp_path)
    loaded = tf.AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    tokens = random_data(9)[0].tokens
    with torch.no_grad():
        given = loaded(torch.as_tensor(tokens)[None]).logits[0]
        torch.testing.assert_close(given, plain_logits(policy, tokens), atol=1e-5, rtol=1e-5)


def test_a_gradient_that_is_not_finite_is_a_clear_error_and_changes_nothing(tiny_policy, random_data):
    policy = tiny_policy()
    learner = LocalLearner(policy)
    before = learner.snapshot()
    broken = [replace(d, advantages=np.full_like(d.advantages, np.nan)) for d in random_data(0)]
    learner.forward_backward(broken, "importance_sampling", {})
    with pytest.raises(ModelError, match="norm is nan"):
        learner.optim_step(ADAM)
    assert policy.version == 0
    assert all(torch.equal(before[n], w) for n, w in learner.snapshot().items())
    learner.forward_backward(random_data(0), "importance_sampling", {})
    assert np.isfinite(learner.optim_step(ADAM)["grad_norm"])


def test_the_same_steps_twice_give_the_same_bits(tiny_policy, random_data):
    def trained():
        learner = LocalLearner(tiny_policy(), lora_rank=4, seed=3)
        for seed in range(2):
            learner.forward_backward(random_data(seed), "ppo", {})
            learner.optim_step(ADAM)
        return learner.snapshot()

    first, second = trained(), trained()
    assert all(torch.equal(first[n], second[n]) for n in first)


def test_what_was_sampled_greedily_is_learned_from_as_its_sampler_reports_it(tiny_policy, random_data):
    losses, norms = [], []
    for temperature in (0.0, 1.0):
        learner = LocalLearner(tiny_policy())
        losses.append(learner.forward_backward(random_data(2, temperature=temperature), "ppo", {}).loss)
        norms.append(learner.optim_step(AdamParams(1e-3))["grad_norm"])

    assert losses[0] == losses[1]
    assert np.isfinite(losses[0])
    assert norms[0] == norms[1] > 0
