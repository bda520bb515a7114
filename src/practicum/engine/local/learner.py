"""Gradient steps on the local policy.

* What sequences of a batch share is computed once (see ``batching``), whether it was sampled or read.
* Logits exist only at trained positions, a chunk at a time: the vocabulary is never spread over the whole batch.
* Weights are trained in float32 masters; where the model runs in bfloat16, gradients are gathered and summed in
  float32 and the model's weights are the rounded masters. A bfloat16 weight alone would swallow small updates.
* Full fine-tuning leaves embeddings (and a head tied to them) frozen unless asked otherwise.

Bit for bit reproducible on CPU with the same number of threads.
"""

import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import peft
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from practicum.algorithms.losses import (
    CROSS_ENTROPY,
    TrainingSequence,
    entropy,
    kl_divergence,
    kl_penalty,
    policy_loss,
)
from practicum.engine.local.batching import Chunk, FlatBatch, chunks, micro_batches
from practicum.engine.local.export import Factors, inherited, write_adapter
from practicum.engine.local.models import family_of, write_family
from practicum.engine.local.policy import Policy, frozen_copy
from practicum.engine.protocol import AdamParams, StepStats
from practicum.errors import ModelError


class LocalLearner:
    """Trains a ``Policy`` in place.

    Args:
        policy: The weights; their ``version`` rises by one with every optimizer step.
        lora_rank: 0 for full fine-tuning.
        lora_alpha: LoRA's scale numerator.
        lora_plus_lr_ratio: Learning rate of the adapter's B matrices over that of its A matrices (LoRA+,
            arXiv 2402.12354).
        train_embeddings: Full fine-tuning: also the embeddings and the head.
        micro_batch_tokens: Most tokens in one forward pass.

    Raises:
        ModelError: the policy comes from an adapter that a new one cannot be one with (see ``export``).
    """

    def __init__(
        self,
        policy: Policy,
        *,
        lora_rank: int = 0,
        lora_alpha: int = 64,
        lora_plus_lr_ratio: float = 1.0,
        train_embeddings: bool = False,
        micro_batch_tokens: int = 4096,
        seed: int = 0,
    ) -> None:
        self._policy = policy
        self._budget = micro_batch_tokens
        self._b_ratio = lora_plus_lr_ratio
        self.lora: peft.LoraConfig | None = None
        self._below = list[Factors]()
        if lora_rank:
            torch.manual_seed(seed)
            self.lora = peft.LoraConfig(
                r=lora_rank,
                lora_alpha=lora_alpha,
                target_modules="all-linear",
                exclude_modules=["lm_head"],
                task_type="CAUSAL_LM",
            )
            peft.inject_adapter_in_model(self.lora, policy.model)
            self._below, base = inherited(policy.folder, peft.get_peft_model_state_dict(policy.model))
            self.lora.base_model_name_or_path = str(base.absolute())
        self._choose(train_embeddings)
        self._working = {name: p for name, p in policy.model.named_parameters() if p.requires_grad}
        self._masters = {name: p.detach().float().clone() for name, p in self._working.items()}
        self._optimizer = self._new_optimizer()
        self._reference: Policy | None = None

    def forward_backward(self, data: Sequence[TrainingSequence], loss: str, config: Mapping[str, float]) -> StepStats:
        """Add the gradient of Σ weight · loss over all trained tokens; see ``engine.protocol.Learner``.

        ``config`` is that of ``algorithms.losses``; with ``kl_coef`` and ``entropy_coef`` the loss of a token is
        policy loss + kl_coef · k3 − entropy_coef · entropy. The metrics are those of the losses, and ``entropy`` and
        ``kl`` (to the reference, where ``kl_coef`` asks for one), both over the whole vocabulary.

        Raises:
            ModelError: a first token is marked as trained, or a logit is NaN or infinite; nothing is added then.
        """
        tokens = sum(int(datum.mask.sum()) for datum in data)
        if not tokens:
            return StepStats(0.0, 0)
        if any(datum.mask[0] for datum in data):
            raise ModelError(
                "the first token of a sequence is marked as trained, but nothing precedes it to predict it from",
                fix="start every sequence with at least one context token",
            )
        total, sums = 0.0, dict[str, float]()
        for part in micro_batches(data, self._budget):
            value, metrics = self._micro_batch(FlatBatch.of(part, self._policy.shape.device), loss, config)
            total += value
            _add(sums, metrics, 1)
        means = {name: value if name.endswith("_max") else value / tokens for name, value in sums.items()}
        return StepStats(total, tokens, means)

    def optim_step(self, params: AdamParams) -> Mapping[str, float]:
        """One AdamW step on what has been added up.

        Returns:
            ``grad_norm``, before clipping, and ``publish_s``, the seconds it took to bring the weights to the sampler.
        """
        for group in self._optimizer.param_groups:
            group.update(
                lr=params.learning_rate * group["ratio"],
                betas=(params.beta1, params.beta2),
                eps=params.eps,
                weight_decay=params.weight_decay,
            )
        masters = list(self._masters.values())
        # 0 is AWS's way to ask for no clipping; the norm is measured all the same.
        norm = float(torch.nn.utils.clip_grad_norm_(masters, params.grad_clip_norm or math.inf))
        if not np.isfinite(norm):
            self._optimizer.zero_grad()
            raise ModelError(
                f"the gradient's norm is {norm}",
                fix="lower learning_rate, or look for rewards or log-probabilities that are not finite",
            )
        self._optimizer.step()
        self._optimizer.zero_grad()
        began = time.perf_counter()
        with self._policy.lock:
            self._publish()
            self._policy.version += 1
        return {"grad_norm": norm, "publish_s": time.perf_counter() - began}

    def evaluate(self, data: Sequence[TrainingSequence]) -> float:
        """Mean cross-entropy (nats per trained token), without gradients."""
        total, tokens = 0.0, 0
        with torch.no_grad():
            for sequences in micro_batches(data, self._budget):
                batch = FlatBatch.of(sequences, self._policy.shape.device)
                places, parts = self._chunks(batch)
                hidden = _hidden(self._policy, batch, places, grad=False)
                for chunk in parts:
                    table = self._table(self._policy, hidden[chunk.places], 1.0)
                    total -= float(_of(table, chunk.rows, batch.target[chunk.tokens]).sum())
                    tokens += len(chunk.tokens)
        return total / max(tokens, 1)

    def reset_optimizer(self) -> None:
        """Forget moments, keep weights."""
        self._optimizer = self._new_optimizer()

    def snapshot(self) -> dict[str, Tensor]:
        """A copy of the trained weights (float32)."""
        return {name: master.clone() for name, master in self._masters.items()}

    def restore(self, weights: Mapping[str, Tensor]) -> None:
        """Put trained weights back; the optimizer starts afresh."""
        for name, master in self._masters.items():
            master.copy_(weights[name])
        self._publish()
        self.reset_optimizer()

    def save(self, folder: Path) -> None:
        """Write weights, moments and version into an existing folder; ``load`` continues exactly."""
        state = {f"master.{name}": master for name, master in self._masters.items()}
        steps = {}
        for name, master in self._masters.items():
            slots = self._optimizer.state.get(master)
            if slots:
                state[f"exp_avg.{name}"], state[f"exp_avg_sq.{name}"] = slots["exp_avg"], slots["exp_avg_sq"]
                steps[name] = float(slots["step"])
        save_file(state, folder / "learner.safetensors")
        about = {"version": self._policy.version, "steps": steps}
        (folder / "learner.json").write_text(json.dumps(about))

    def load(self, folder: Path) -> None:
        """Read what ``save`` wrote.

        Raises:
            ModelError: the checkpoint belongs to another model or another set of trained weights.
        """
        state = load_file(folder / "learner.safetensors")
        about = json.loads((folder / "learner.json").read_text())
        self.restore(self._masters_in(state, folder))
        for name, step in about["steps"].items():
            self._optimizer.state[self._masters[name]] = {
                "step": torch.tensor(step, device=self._policy.shape.device),
                "exp_avg": state[f"exp_avg.{name}"].to(self._policy.shape.device),
                "exp_avg_sq": state[f"exp_avg_sq.{name}"].to(self._policy.shape.device),
            }
        self._policy.version = about["version"]

    def keep_reference(self, folder: Path) -> None:
        """Take the weights that ``save`` wrote there as the policy that ``kl_coef`` keeps this one near.

        Raises:
            ModelError: as ``load``.
        """
        weights = self._masters_in(load_file(folder / "learner.safetensors"), folder)
        self._reference = frozen_copy(self._policy, weights)

    def _masters_in(self, state: Mapping[str, Tensor], folder: Path) -> dict[str, Tensor]:
        saved = {name.removeprefix("master."): value for name, value in state.items() if name.startswith("master.")}
        if {n: v.shape for n, v in saved.items()} != {n: v.shape for n, v in self._masters.items()}:
            raise ModelError(
                "the checkpoint's weights are not those this recipe trains",
                where=str(folder),
                fix="resume with the model_name, lora_rank and train_embeddings the run was started with",
            )
        return saved

    def export(self, folder: Path) -> None:
        """Write what others load: a Hugging Face model folder, or a LoRA adapter (PEFT's format).

        An adapter is one of the whole model below, also where the policy itself came from an adapter.
        """
        model = self._policy.model
        if self.lora is None:
            model.save_pretrained(folder)
        else:
            write_adapter(folder, self.lora, peft.get_peft_model_state_dict(model), self._below)
        self._policy.tokenizer.save_pretrained(folder)
        write_family(folder, family_of(str(self._policy.folder)))

    def _choose(self, train_embeddings: bool) -> None:
        model = self._policy.model
        if self.lora is not None:
            for name, parameter in model.named_parameters():
                parameter.requires_grad_("lora_" in name)
            return
        model.requires_grad_(True)
        if not train_embeddings:
            model.get_input_embeddings().requires_grad_(False)
            model.get_output_embeddings().requires_grad_(False)

    def _new_optimizer(self) -> torch.optim.AdamW:
        matrices_b = [master for name, master in self._masters.items() if "lora_B" in name]
        others = [master for name, master in self._masters.items() if "lora_B" not in name]
        groups = [{"params": others, "ratio": 1.0}, {"params": matrices_b, "ratio": self._b_ratio}]
        return torch.optim.AdamW([group for group in groups if group["params"]], fused=True)

    @torch.no_grad()
    def _publish(self) -> None:
        """Round the masters into the weights the model computes with."""
        for name, parameter in self._working.items():
            parameter.copy_(self._masters[name])

    def _micro_batch(self, batch: FlatBatch, loss: str, config: Mapping[str, float]) -> tuple[float, dict[str, float]]:
        """Summed loss and summed metrics of one micro-batch; gradients are added to the masters.

        The gradient of the hidden states is gathered chunk by chunk before the model's own backward pass: the
        vocabulary exists for one chunk at a time, forward and backward, and nothing is computed twice.
        """
        reference = self._reference_for(config)
        places, parts = self._chunks(batch)
        near = None if reference is None else _hidden(reference, batch, places, grad=False)
        picked = _hidden(self._policy, batch, places)
        leaf = picked.detach().requires_grad_(True)
        total, sums = 0.0, dict[str, float]()
        for chunk in parts:
            table = self._table(self._policy, leaf[chunk.places], batch.temperature)
            reference_table = None
            if reference is not None and near is not None:
                with torch.no_grad():
                    reference_table = self._table(reference, near[chunk.places], batch.temperature)
            losses, metrics = token_losses(loss, table, batch, chunk, config, reference_table)
            value = (losses * batch.weight[chunk.tokens]).sum()
            value.backward()
            total += float(value.detach())
            numbers = {name: float(number) for name, number in metrics.items()}
            self._refuse_no_number(numbers)
            _add(sums, numbers, len(chunk.tokens))
        picked.backward(leaf.grad)
        self._gather()
        return total, sums

    def _refuse_no_number(self, metrics: Mapping[str, float]) -> None:
        """NaN or +∞ among the logits of a token makes NaN of its entropy, or of its cross-entropy."""
        if not math.isnan(metrics["entropy"] if "entropy" in metrics else metrics["nll"]):
            return
        self._optimizer.zero_grad()
        for parameter in self._working.values():
            parameter.grad = None
        raise ModelError(
            "the model's logits are NaN or infinite: there is nothing to learn from",
            where=f"the weights after {self._policy.version} optimizer steps",
            fix="lower learning_rate, or use dtype: float32; go back to a checkpoint from before, or to a sound model",
        )

    def _reference_for(self, config: Mapping[str, float]) -> Policy | None:
        if not config.get("kl_coef"):
            return None
        if self._reference is None:
            raise ModelError("kl_coef is set, but there is no reference policy", fix="call keep_reference first")
        return self._reference

    def _table(self, policy: Policy, hidden: Tensor, temperature: float) -> Tensor:
        """Log-probabilities of every next token under the tempered distribution, as the sampler reports them."""
        logits = policy.logits(hidden)
        if temperature not in (0.0, 1.0):  # of greedy sampling the sampler reports them as they are
            logits = logits / temperature
        return torch.log_softmax(logits, dim=-1)

    def _chunks(self, batch: FlatBatch) -> tuple[Tensor, list[Chunk]]:
        return chunks(batch, int(self._policy.model.get_output_embeddings().weight.shape[0]))

    @torch.no_grad()
    def _gather(self) -> None:
        """Add the model's gradients to the masters' in float32, and clear them."""
        for name, parameter in self._working.items():
            if parameter.grad is None:
                continue
            master = self._masters[name]
            if master.grad is None:
                master.grad = parameter.grad.float()
            else:
                master.grad += parameter.grad
            parameter.grad = None


def token_losses(
    loss: str,
    table: Tensor,
    batch: FlatBatch,
    chunk: Chunk,
    config: Mapping[str, float],
    reference: Tensor | None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss of each token of a chunk with its penalties, and metrics.

    Args:
        loss, config: As in ``algorithms.losses.policy_loss``.
        table: log π_θ of every next token at the chunk's places, (U, vocabulary), with gradient.
        batch, chunk: The micro-batch and which of its trained tokens these are.
        reference: The same table of the reference, where there is one.
    """
    target, old, advantages = (x[chunk.tokens] for x in (batch.target, batch.logprobs, batch.advantages))
    logprobs, mask = _of(table, chunk.rows, target), torch.ones_like(old)
    losses, metrics = policy_loss(loss, logprobs, old, advantages, mask, config)
    if loss == CROSS_ENTROPY:
        return losses, metrics
    with torch.set_grad_enabled(bool(config.get("entropy_coef"))):
        undecided = entropy(table)[chunk.rows]
    metrics["entropy"] = undecided.detach().mean()
    if config.get("entropy_coef"):
        losses = losses - config["entropy_coef"] * undecided
    if reference is not None:
        losses = losses + config["kl_coef"] * kl_penalty(logprobs, _of(reference, chunk.rows, target), mask)
        with torch.no_grad():
            metrics["kl"] = kl_divergence(table, reference)[chunk.rows].mean()
    return losses, metrics


def _hidden(policy: Policy, batch: FlatBatch, places: Tensor, *, grad: bool = True) -> Tensor:
    """Hidden states at some flat places, (U, width)."""
    with torch.set_grad_enabled(grad):
        return policy.hidden(batch.tokens, batch.positions, batch.layout)[places]


def _of(table: Tensor, rows: Tensor, target: Tensor) -> Tensor:
    """Entries (rows, target) of a table."""
    return table[rows, target]


def _add(sums: dict[str, float], metrics: Mapping[str, float], n: int) -> None:
    """Add means over ``n`` tokens to sums; of maxima the largest is kept."""
    for name, number in metrics.items():
        worst = name.endswith("_max")
        sums[name] = max(sums.get(name, 0.0), number) if worst else sums.get(name, 0.0) + number * n
