"""Gradient steps on the local policy.

* A batch of sequences that begin alike is computed as one shared prefix and many rows (see ``attention``).
* Logits exist only at trained positions, a chunk at a time: the vocabulary is never spread over the whole batch.
* Weights are trained in float32 masters; where the model runs in bfloat16, gradients are gathered and summed in
  float32 and the model's weights are the rounded masters. A bfloat16 weight alone would swallow small updates.
* Full fine-tuning leaves embeddings (and a head tied to them) frozen unless asked otherwise.

Bit for bit reproducible on CPU with the same number of threads.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import peft
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from practicum.algorithms.losses import policy_loss
from practicum.engine.local.attention import PackedRows
from practicum.engine.local.policy import Policy
from practicum.engine.protocol import AdamParams, Datum, LossName, StepStats
from practicum.errors import ModelError

LOGIT_CHUNK = 256
"""Trained positions whose logits exist at one time."""
MIN_SHARED = 16


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
        if lora_rank:
            torch.manual_seed(seed)
            self.lora = peft.LoraConfig(
                r=lora_rank, lora_alpha=lora_alpha, target_modules="all-linear", exclude_modules=["lm_head"]
            )
            peft.inject_adapter_in_model(self.lora, policy.model)
        self._choose(train_embeddings)
        self._working = {name: p for name, p in policy.model.named_parameters() if p.requires_grad}
        self._masters = {name: p.detach().float().clone() for name, p in self._working.items()}
        self._optimizer = self._new_optimizer()

    def forward_backward(self, data: Sequence[Datum], loss: LossName, config: Mapping[str, float]) -> StepStats:
        """Add the gradient of Σ weight · loss over all trained tokens; see ``engine.protocol.Learner``."""
        tokens = sum(int(datum.mask.sum()) for datum in data)
        if not tokens:
            return StepStats(0.0, 0)
        if any(datum.mask[0] for datum in data):
            raise ModelError(
                "the first token of a sequence is marked as trained, but nothing precedes it to predict it from",
                fix="start every sequence with at least one context token",
            )
        total, sums = 0.0, dict[str, float]()
        for batch in micro_batches(data, self._budget):
            value, metrics, n = self._micro_batch(batch, loss, config)
            total += value
            for name, number in metrics.items():
                worst = name.endswith("_max")
                sums[name] = max(sums.get(name, 0.0), number) if worst else sums.get(name, 0.0) + number * n
        means = {name: value if name.endswith("_max") else value / tokens for name, value in sums.items()}
        return StepStats(total, tokens, means)

    def optim_step(self, params: AdamParams) -> Mapping[str, float]:
        """One AdamW step on what has been added up; returns the gradient's norm before clipping."""
        for group in self._optimizer.param_groups:
            group.update(
                lr=params.learning_rate * group["ratio"],
                betas=(params.beta1, params.beta2),
                eps=params.eps,
                weight_decay=params.weight_decay,
            )
        masters = list(self._masters.values())
        norm = float(torch.nn.utils.clip_grad_norm_(masters, params.grad_clip_norm))
        if not np.isfinite(norm):
            self._optimizer.zero_grad()
            raise ModelError(
                f"the gradient's norm is {norm}",
                fix="lower learning_rate, or look for rewards or log-probabilities that are not finite",
            )
        self._optimizer.step()
        self._optimizer.zero_grad()
        self._publish()
        self._policy.version += 1
        return {"grad_norm": norm}

    def evaluate(self, data: Sequence[Datum]) -> float:
        """Mean cross-entropy (nats per trained token), without gradients."""
        total, tokens = 0.0, 0
        with torch.no_grad():
            for batch in micro_batches(data, self._budget):
                hidden, target, index = self._hidden(batch)
                for part in torch.arange(len(target)).split(LOGIT_CHUNK):
                    logprobs = self._logprobs(hidden[index[part]], target[part], 1.0)
                    total -= float(logprobs.sum())
                    tokens += len(part)
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
        saved = {name.removeprefix("master."): value for name, value in state.items() if name.startswith("master.")}
        if {n: v.shape for n, v in saved.items()} != {n: v.shape for n, v in self._masters.items()}:
            raise ModelError(
                "the checkpoint's weights are not those this recipe trains",
                where=str(folder),
                fix="resume with the model_name, lora_rank and train_embeddings the run was started with",
            )
        self.restore(saved)
        for name, step in about["steps"].items():
            self._optimizer.state[self._masters[name]] = {
                "step": torch.tensor(step, device=self._policy.shape.device),
                "exp_avg": state[f"exp_avg.{name}"].to(self._policy.shape.device),
                "exp_avg_sq": state[f"exp_avg_sq.{name}"].to(self._policy.shape.device),
            }
        self._policy.version = about["version"]

    def export(self, folder: Path) -> None:
        """Write what others load: a Hugging Face model folder, or a LoRA adapter (PEFT's format)."""
        model = self._policy.model
        if self.lora is None:
            model.save_pretrained(folder)
        else:
            weights = peft.get_peft_model_state_dict(model, adapter_name="default")
            save_file(
                {f"base_model.model.{k}": v.contiguous() for k, v in weights.items()},
                folder / "adapter_model.safetensors",
            )
            self.lora.base_model_name_or_path = str(self._policy.folder)
            self.lora.save_pretrained(str(folder))
        self._policy.tokenizer.save_pretrained(folder)

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

    def _micro_batch(
        self, batch: Sequence[Datum], loss: LossName, config: Mapping[str, float]
    ) -> tuple[float, dict[str, float], int]:
        """Loss, mean metrics and number of trained tokens of one batch; gradients are added to the masters."""
        hidden, target, index = self._hidden(batch)
        device = hidden.device
        trained = [datum.mask.astype(bool) for datum in batch]
        columns = {
            name: torch.as_tensor(np.concatenate([getattr(d, name)[m] for d, m in zip(batch, trained, strict=True)]))
            for name in ("logprobs", "advantages")
        }
        per_token = [np.full(int(m.sum()), d.weight) for d, m in zip(batch, trained, strict=True)]
        weight = torch.as_tensor(np.concatenate(per_token), dtype=torch.float32, device=device)
        picked = hidden[index]
        leaf = picked.detach().requires_grad_(True)
        total, sums = 0.0, dict[str, float]()
        for part in torch.arange(len(target)).split(LOGIT_CHUNK):
            logprobs = self._logprobs(leaf[part], target[part], batch[0].temperature)
            old, advantage = (columns[name][part].to(device) for name in ("logprobs", "advantages"))
            losses, metrics = policy_loss(loss, logprobs, old, advantage, torch.ones_like(old), config)
            value = (losses * weight[part]).sum()
            value.backward()
            total += float(value.detach())
            for name, number in metrics.items():
                worst = name.endswith("_max")
                sums[name] = (
                    max(sums.get(name, 0.0), float(number))
                    if worst
                    else (sums.get(name, 0.0) + float(number) * len(part))
                )
        picked.backward(leaf.grad)
        self._gather()
        n = len(target)
        return total, {k: v if k.endswith("_max") else v / n for k, v in sums.items()}, n

    def _hidden(self, batch: Sequence[Datum]) -> tuple[Tensor, Tensor, Tensor]:
        """Hidden states of the flat batch, the trained tokens, and the flat index that predicts each of them."""
        device = self._policy.shape.device
        prefix = shared_prefix(batch)
        rows = [datum.tokens[prefix:] for datum in batch]
        flat = np.concatenate([batch[0].tokens[:prefix], *rows])
        positions = np.concatenate([np.arange(prefix), *(prefix + np.arange(len(row)) for row in rows)])
        starts = prefix + np.cumsum([0, *(len(row) for row in rows[:-1])])
        index, target = [], []
        for datum, start in zip(batch, starts, strict=True):
            place = np.flatnonzero(datum.mask)
            before = place - 1
            # The token before a row's first one is the prefix's last.
            index.append(np.where(before < prefix, before, start + before - prefix))
            target.append(datum.tokens[place])
        layout = PackedRows.build(prefix, [len(row) for row in rows], device)
        hidden = self._policy.hidden(torch.as_tensor(flat), torch.as_tensor(positions, device=device), layout)
        return (
            hidden,
            torch.as_tensor(np.concatenate(target), device=device),
            torch.as_tensor(np.concatenate(index), device=device),
        )

    def _logprobs(self, hidden: Tensor, target: Tensor, temperature: float) -> Tensor:
        """Log-probability of each target under the tempered distribution, as the sampler reports it."""
        logits = self._policy.logits(hidden)
        if temperature != 1.0:
            logits = logits / temperature
        return -torch.nn.functional.cross_entropy(logits, target, reduction="none")

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


def shared_prefix(batch: Sequence[Datum]) -> int:
    """Tokens that all sequences begin with, none of them trained, each row keeping at least one of its own."""
    shortest = min(len(datum.tokens) for datum in batch) - 1
    limit = min(shortest, *(int(np.argmax(datum.mask > 0)) for datum in batch)) if batch else 0
    same = np.ones(limit, dtype=bool)
    for datum in batch[1:]:
        same &= datum.tokens[:limit] == batch[0].tokens[:limit]
    shared = limit if same.all() else int(np.argmin(same))
    return shared if shared >= MIN_SHARED and len(batch) > 1 else 0


def micro_batches(data: Sequence[Datum], budget: int) -> Iterator[list[Datum]]:
    """Cut a batch into parts that compute at most ``budget`` tokens (a longer sequence goes alone).

    What a sequence shares with its part's first one counts once. A part has one sampling temperature.
    """
    part: list[Datum] = []
    size = 0
    for datum in data:
        if not datum.mask.any():
            continue
        cost = len(datum.tokens) - (shared_prefix([part[0], datum]) if part else 0)
        if part and (size + cost > budget or datum.temperature != part[0].temperature):
            yield part
            part, size, cost = [], 0, len(datum.tokens)
        part.append(datum)
        size += cost
    if part:
        yield part
