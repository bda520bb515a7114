"""Every knob of a run, once. A knob's help is the docstring under it."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    PrivateAttr,
    StrictInt,
    field_validator,
    model_validator,
)

from practicum.algorithms.advantages import ESTIMATORS, Deviation
from practicum.algorithms.losses import LOSSES, Aggregation
from practicum.digests import digest
from practicum.recipe.rules import OneOf, clashes, clip_bounds, says
from practicum.yaml_reader import dump

BUILTIN = "builtin"
"""What a recipe calls the tool loop in this process."""
Source = str
"""``default``, ``file``, ``extends PATH`` (a file that the recipe extends) or ``override``."""


class Recipe(BaseModel):
    """The settings of one run, validated together and frozen.

    Made by ``load_recipe`` or ``build_recipe``, whose errors name the key as the user wrote it and which make
    paths absolute. Two recipes are equal when their values are, wherever those came from.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,  # "32", true and 32.0 are no integers
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        protected_namespaces=(),
    )

    # What runs

    name: str | None = Field(
        None, pattern=r"^[^\s./\\][^/\\\x00-\x1f]*$", json_schema_extra=says("a file name, or null")
    )
    """Name of the run and of its folder; null: the recipe file's."""
    display_name: str | None = None
    """The run's title, for people."""
    recipe_version: str | None = Field(None, coerce_numbers_to_str=True, strict=False)
    """Version of this recipe; recorded with the run."""
    model_type: str | None = None
    """AWS's model type; recorded with the run, the model itself says what it is."""
    model_name: str | None = Field(None, min_length=1)
    """Model to train: smollm2-135m, a name on the Hugging Face hub, a Hugging Face folder, or a LoRA adapter's (./ and
    ../ start at the recipe's folder)."""
    base_model_name: str | None = None
    """AWS's name of the base model; recorded with the run, and the model to train where model_name is empty."""
    output_path: Path | None = Field(None, strict=False)
    """Folder in which the run's folder is made; null: runs. --run with a path goes before."""
    environment: str | None = Field(
        None,
        pattern=r"^[^\s:][^:]*:[A-Za-z_]\w*$",
        json_schema_extra=says("package.module:Class or path/to/file.py:Class, or null"),
    )
    """The environment's class, such as practicum.suites.support_desk:SupportDesk or desk.py:SupportDesk; null: an agent
    server brings tools and reward, and training_dataset the tasks."""
    environment_args: dict[str, JsonValue] = Field(
        default_factory=dict, json_schema_extra=says("a mapping of names to JSON values")
    )
    """Arguments of the environment's class, by name."""
    score: str = Field(
        "score",
        pattern=r"^([^\s:][^:]*:)?[A-Za-z_]\w*$",
        json_schema_extra=says("a Python name, path/to/file.py:name or package.module:name"),
    )
    """The evaluation score: its name in the environment's module, or file and name. Without an environment and without
    a score, evaluations take the reward that the agent reports, and say that this is not independent."""
    reward: str = Field("reward", pattern=r"^[A-Za-z_]\w*$", json_schema_extra=says("a Python name"))
    """Name of the training reward in the environment's module."""
    agent: str = Field(
        BUILTIN,
        pattern=r"^(builtin|https?://\S+)$",
        json_schema_extra=says("builtin, or the http:// or https:// address of an agent server"),
    )
    """Who plays: the built-in tool loop, or an agent server that takes POST /rollout."""
    gateway_host: str = Field("127.0.0.1", pattern=r"^\S+$", json_schema_extra=says("a host name or address"))
    """Where an agent server's model calls are listened for; 0.0.0.0 for agents in containers or elsewhere."""
    gateway_port: int = Field(0, ge=0, le=65535)
    """Port they are listened for on; 0 takes a free one."""
    gateway_url: str | None = Field(
        None, pattern=r"^https?://\S+$", json_schema_extra=says("an http:// or https:// address, or null")
    )
    """The endpoint that an agent server is told, where it sees the gateway under another address."""
    max_turns: int | None = Field(None, ge=1)
    """Most model calls per rollout of the built-in agent; null: the environment's own bound."""
    training_dataset: Path | None = Field(None, strict=False)
    """Tasks to train on (.parquet, .jsonl, .json or .csv); null: the environment's split 'train'."""
    validation_dataset: Path | None = Field(None, strict=False)
    """Tasks to validate on while training; null: the environment's split 'validation'."""
    test_dataset: Path | None = Field(None, strict=False)
    """Tasks of the final evaluation; null: the environment's split 'test'. Without an environment, validation and test
    stand in for each other, and where there is neither, a tenth of the training dataset is held out."""
    prompt_column: str | None = Field(None, min_length=1)
    """Column of the datasets that holds the prompt; null: 'prompt', else the first that is neither id nor answer."""
    id_column: str | None = Field(None, min_length=1)
    """Column of the datasets that holds the task's id; null: 'id', else tasks are numbered by their rows."""
    answer_column: str | None = Field(None, min_length=1)
    """Column of the datasets that holds the label, which no agent sees; null: 'answer', where there is one."""
    train_tasks: int | None = Field(None, ge=1)
    """Use only so many training tasks; null: all."""
    val_tasks: int | None = Field(None, ge=1)
    """Use only so many validation tasks; null: all."""
    test_tasks: int | None = Field(None, ge=1)
    """Use only so many test tasks; null: all."""
    eval_random_sample: bool = False
    """Draw those test tasks at random, by the seed; otherwise they are the first."""
    seed: int = Field(0, ge=0, lt=2**32)
    """Start of every random stream: task order, sampling, environment, adapter weights."""

    # Batch and schedule

    global_batch_size: int = Field(128, ge=1)
    """Prompts per training step (AWS allows 32, 64 and 128)."""
    group_size: int = Field(8, ge=2)
    """Rollouts per prompt; their rewards are compared with each other."""
    min_group_survivors: int = Field(2, ge=1)
    """A group is trained on only when at least so many of its rollouts did not fail: of two that are left, scaled
    advantages are +1 and -1 however small the difference."""
    policy_failure: Literal["zero", "drop"] = "zero"
    """What a training rollout is worth that the policy itself broke off (text that its agent cannot read): a reward
    of 0, or nothing: dropped, it teaches nothing, and a policy is paid for breaking off."""
    minibatches_per_step: int = Field(1, ge=1)
    """Optimizer updates per training step; above 1 the later ones are slightly off-policy."""
    micro_batch_tokens: int = Field(4096, ge=1)
    """Tokens in one forward and backward pass: lower it when memory runs out."""
    max_epochs: int = Field(1, ge=1)
    """Passes over the training tasks; training ends here or at max_steps, whichever comes first."""
    max_steps: int = Field(50, ge=1)
    """Training steps; most failures show within 30."""
    extend_steps: int = Field(0, ge=0)
    """Further steps, at most, while validation still rises and groups still have signal (max_steps_off_policy 0)."""
    extend_minutes: float | None = Field(None, gt=0)
    """No further steps are begun that would take the whole run beyond so many minutes; null: no such bound. With it the
    clock decides how long is trained, and a run repeats only on a machine that is as fast."""
    save_every: int = Field(1, ge=0)
    """Steps between checkpoints; 0: only after the last step."""
    keep_checkpoints: int = Field(2, ge=1)
    """Newest checkpoints that are kept; above 1 there is one to go back to where the newest is damaged."""

    # Algorithm

    advantage_method: Annotated[str, OneOf(ESTIMATORS)] = "group_based"
    """How rewards become advantages."""
    advantage_normalization: bool = True
    """Scale advantages by their standard deviation where the method allows it."""
    advantage_std: Deviation = "population"
    """Which standard deviation: of the group or batch as all there is (divided by n), or a sample's (by n - 1), as TRL
    and verl take it; advantages are then smaller by sqrt(1 - 1/n)."""
    gamma: float = Field(1.0, ge=0, le=1)
    """Discount per turn."""
    loss_fn: Annotated[str, OneOf(LOSSES)] = "ppo"
    """Policy loss. Start with ppo at (0.8, 1.2); cispo tends to collapse between steps 40 and 80."""
    clip_low_threshold: float = Field(default_factory=lambda data: clip_bounds(data.get("loss_fn"))[0], ge=0, le=1)
    """Lower bound on the probability ratio (a ratio, not an epsilon); not set: 0.8, with cispo 1.0."""
    clip_high_threshold: float = Field(default_factory=lambda data: clip_bounds(data.get("loss_fn"))[1], ge=1, le=10)
    """Upper bound on the probability ratio; not set: 1.2, with cispo 6.0."""
    importance_cap: float | None = Field(None, gt=1)
    """Most that a token's probability ratio may weigh (truncated importance sampling); null: no cap."""
    loss_aggregation: Aggregation = "token_mean"
    """How token losses are summed: all tokens alike, rollouts alike (in however many sequences a rollout was cut), or
    divided by sampling_max_tokens."""
    kl_coef: float = Field(0.0, ge=0)
    """Weight of the k3 penalty that keeps the policy near the one reinforcement started from (the model after its
    foothold, where it has one); 0: none. It costs a forward pass per trained token, and for full fine-tuning one more
    copy of the weights."""
    entropy_coef: float = Field(0.0, ge=0)
    """Weight of the bonus for an undecided policy (its exact entropy in nats per token); 0: none."""
    max_steps_off_policy: int = Field(3, ge=0)
    """Most steps between sampling and training: 3 hides latency, 1 where rollouts are fast, 0 to diagnose."""
    stragglers: Literal["wait", "cut"] = "wait"
    """Above max_steps_off_policy 0, a group whose slow rollouts would make it too old: wait for them, so that all that
    was begun is trained on; or cut them off, which is quicker and biased: where successes are slow, they go missing."""

    # Sampling

    temperature: float = Field(1.0, ge=0, le=2)
    """Sampling temperature of training rollouts; keep it at 1 for training (0, where all are alike, is refused)."""
    sampling_top_p: float = Field(1.0, ge=0, le=1)
    """Nucleus sampling of training rollouts; 1: off."""
    sampling_max_tokens: int = Field(4096, ge=1)
    """Most tokens per turn of training rollouts; more than 5% of rollouts at the cap is too many."""
    deploy_temperature: float = Field(1.0, ge=0, le=2)
    """Temperature of the sampled evaluation: the one the model will be used with."""

    # Validation and evaluation

    val_every: int = Field(10, ge=0)
    """Steps between validations; 0: none while training."""
    val_at_start: bool = True
    """Validate before the first step."""
    val_batch_size: int | None = Field(None, ge=1)
    """Tasks per validation; null: all."""
    val_group_size: int = Field(1, ge=1)
    """Rollouts per validation task."""
    val_random_sample: bool = False
    """Draw val_batch_size tasks anew at each validation instead of always the first ones."""
    val_temperature: float = Field(0.0, ge=0, le=2)
    """Temperature of validation rollouts; 0: greedy."""
    val_top_p: float = Field(1.0, ge=0, le=1)
    """Nucleus sampling of validation rollouts; 1: off."""
    val_max_tokens: int = Field(default_factory=lambda data: data.get("sampling_max_tokens", 4096), ge=1)
    """Most tokens per turn of validation and evaluation rollouts; not set: sampling_max_tokens."""
    eval_group_size: int = Field(1, ge=1)
    """Rollouts per task of an evaluation."""
    pass_k_values: tuple[StrictInt, ...] = Field(
        (1, 2, 4, 8, 16, 32),
        strict=False,
        min_length=1,
        json_schema_extra=says("a list of different integers, each at least 1"),
    )
    """The k of pass@k and pass^k; those above the number of rollouts per task are left out."""
    reference_base_url: str | None = Field(
        None, pattern=r"^https?://\S+$", json_schema_extra=says("an http:// or https:// address, or null")
    )
    """OpenAI-compatible endpoint of a reference model to evaluate beside, usually ending in /v1."""
    reference_model: str | None = Field(None, min_length=1)
    """The reference model's name there."""
    reference_api_key_env: str | None = Field(None, pattern=r"^[A-Za-z_]\w*$")
    """Environment variable with the endpoint's key; the key itself is never written down."""
    promote_min_success: float = Field(0.0, ge=0, le=1)
    """Least success rate that a promotion asks for, at the lower end of its 95% interval."""
    promote_better_than: Literal["base", "foothold", "reference", "none"] = "base"
    """Model that a promoted one must clearly beat."""
    promote_max_unearned: float = Field(0.05, ge=0, le=1)
    """Largest share of rollouts that may be paid like a success without being one, for a promotion."""
    success_threshold: float = Field(1.0, ge=-1, le=1)
    """Score (in training, reward) from which a rollout counts as a success."""

    # Model and optimizer

    lora_rank: int = Field(32, ge=0)
    """Rank of the LoRA adapter; 0: full fine-tuning."""
    lora_alpha: int = Field(64, ge=1)
    """Scale of the LoRA adapter: the effective step is learning_rate × lora_alpha / lora_rank."""
    lora_plus_lr_ratio: float = Field(1.0, gt=0)
    """LoRA+: learning rate of the adapter's B matrices over that of its A matrices; 1: the same."""
    train_embeddings: bool = False
    """Full fine-tuning leaves the tied embedding / head frozen unless set."""
    max_sequence_length: int = Field(65536, ge=1)
    """Most tokens of one rollout's whole context."""
    learning_rate: float = Field(4e-5, ge=0, le=1)
    """Peak learning rate; sparse rewards want a lower one, a larger batch or more steps."""
    lr_schedule: Literal["constant", "linear", "cosine"] = "constant"
    """Course of the learning rate after warmup; linear and cosine end at min_lr_ratio of it."""
    min_lr_ratio: float = Field(0.0, ge=0, le=1)
    """What is left of the learning rate, as a share, after a linear or cosine course; 0: nothing."""
    warmup_steps: int = Field(0, ge=0)
    """Steps over which the learning rate rises to its peak."""
    adam_beta1: float = Field(0.9, ge=0, lt=1)
    """Adam: decay of the mean of the gradient."""
    adam_beta2: float = Field(0.95, ge=0, lt=1)
    """Adam: decay of the mean of its square."""
    adam_eps: float = Field(1e-8, gt=0)
    """Adam: added to the denominator."""
    weight_decay: float = Field(0.0, ge=0)
    """Decoupled weight decay."""
    grad_clip_norm: float = Field(1.0, ge=0)
    """Gradients are scaled down to this norm: 0.5 for spikes, 2.0 when pinned at it with flat reward; 0: never."""

    # Rollouts

    rollout_max_concurrency: int = Field(96, ge=1)
    """Rollouts under way at once."""
    rollout_timeout: float = Field(600.0, gt=0)
    """Seconds after which an attempt at a rollout is given up; where it had sampled nothing, it is tried once more."""
    rollout_max_retries: int = Field(3, ge=0)
    """Further tries, with the same seed, for a rollout that infrastructure failed; no other failure is tried again."""
    max_failed_rollouts: float = Field(0.5, ge=0, le=1)
    """Share of a step's rollouts that may fail for good by other doing than the policy's; above it training stops and
    says why."""
    rollout_tps: float = Field(5.0, gt=0)
    """Rollouts started per second at an agent server, at most; the built-in agent starts them at once."""
    max_filter_rate: float = Field(1.0, ge=0, le=1)
    """Largest part of a batch that the repetition filter may take; where more repeat themselves, the worst go."""
    max_repeated_tokens: int | None = Field(None, ge=1)
    """Leave out of training a rollout that repeats an n-gram, ten times or more in a row, over more than so many tokens
    of a turn; null: none."""
    max_ngram_size: int = Field(8, ge=1)
    """Longest n-gram whose repetition the filter looks for."""
    filter_reward: float | None = Field(None, ge=-1, le=1)
    """Reward that a rollout which repeats itself gets instead of its own, and so stays in its group; null: it is left
    out, and nothing teaches the policy to avoid it."""

    # Foothold: demonstrations first, where the base model never succeeds

    warmstart_demonstrations: int = Field(0, ge=0)
    """Demonstrations to imitate; 0: no foothold. Where the base model never succeeds, 32 are a beginning."""
    warmstart_source: str = Field(
        "oracle",
        min_length=1,
        json_schema_extra=says(
            "oracle, a run's folder, a Parquet file of trajectories, or the http(s):// address of an OpenAI-compatible "
            "endpoint"
        ),
    )
    """Who demonstrates: the environment's oracle, rollouts that succeeded, or a model behind an endpoint."""
    warmstart_model: str | None = Field(None, min_length=1)
    """The demonstrating model's name at the endpoint."""
    warmstart_api_key_env: str | None = Field(None, pattern=r"^[A-Za-z_]\w*$")
    """Environment variable with the endpoint's key; the key itself is never written down."""
    warmstart_epochs: int = Field(3, ge=1)
    """Passes over the demonstrations."""
    warmstart_batch_size: int = Field(8, ge=1)
    """Demonstrations per optimizer update."""
    warmstart_learning_rate: float = Field(5e-5, gt=0, le=1)
    """Learning rate on the demonstrations."""
    warmstart_average: float = Field(0.0, ge=0, le=1)
    """Share of the updates, the last ones, whose weights are averaged into the foothold: it then holds no answer for
    likely only because the last batch showed it often, and reinforcement has more answers left to choose from."""
    warmstart_select_best: bool = False
    """Keep the epoch whose validation cross-entropy is best, instead of the last."""

    # Machine

    device: Literal["cpu", "cuda", "auto"] = "auto"
    """Where the model runs; auto: cuda where there is one."""
    dtype: Literal["bfloat16", "float32", "auto"] = "auto"
    """Number format of the weights; auto: bfloat16 where the device is fast at it."""
    threads: int | None = Field(None, ge=1)
    """CPU threads; null: PyTorch's own choice."""

    _sources: dict[str, Source] = PrivateAttr(default_factory=dict)

    @property
    def sources(self) -> dict[str, Source]:
        """Where each value comes from; ``file`` also stands for values given in Python."""
        return {key: self._sources.get(key, "default") for key in type(self).model_fields}

    @property
    def digest(self) -> str:
        """SHA-256 of ``to_dict()``; absolute paths are part of it."""
        return digest(self.to_dict())

    @property
    def validates(self) -> bool:
        """Whether training ever looks at validation tasks."""
        return self.val_at_start or self.val_every > 0

    def to_dict(self) -> dict[str, Any]:
        """Every setting by its flat name, as plain JSON-able data."""
        return self.model_dump(mode="json")

    def to_yaml(self) -> str:
        """Every setting as flat YAML; loading it gives an equal recipe."""
        return dump(self.to_dict())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Recipe) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(self.digest)

    def model_post_init(self, context: Any) -> None:
        """Remember where values come from; ``context`` is a source by key, or None."""
        self._sources = {key: (context or {}).get(key, "file") for key in self.model_fields_set}

    @field_validator("pass_k_values")
    @classmethod
    def _different_and_positive(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if min(value) < 1 or len(set(value)) < len(value):
            raise ValueError("every k at least 1 and named once")
        return value

    @model_validator(mode="after")
    def _settings_agree(self) -> Self:
        contradictions = list(clashes(self))
        if contradictions:
            raise ValueError("; ".join(contradictions))
        return self
