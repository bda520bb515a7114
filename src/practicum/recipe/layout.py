"""Where a setting stands in an AWS recipe file, and which other names it goes by."""

SECTIONS: dict[str, dict[str, str]] = {
    "run": {"name": "name", "model_type": "model_type", "base_model_name": "base_model_name"},
    "batch": {
        "training_batch_size": "global_batch_size",
        "group_size": "group_size",
        "val_batch_size": "val_batch_size",
        "val_group_size": "val_group_size",
        "val_random_sample": "val_random_sample",
        "eval_batch_size": "test_tasks",
        "eval_group_size": "eval_group_size",
        "eval_random_sample": "eval_random_sample",
    },
    "rl": {
        "advantage_method": "advantage_method",
        "advantage_normalization": "advantage_normalization",
        "gamma": "gamma",
        "loss_fn": "loss_fn",
        "clip_low_threshold": "clip_low_threshold",
        "clip_high_threshold": "clip_high_threshold",
    },
    "sampling_params": {
        "temperature": "temperature",
        "top_p": "sampling_top_p",
        "max_tokens": "sampling_max_tokens",
    },
    "val_sampling_params": {
        "temperature": "val_temperature",
        "top_p": "val_top_p",
        "max_tokens": "val_max_tokens",
    },
    "eval_sampling_params": {
        "temperature": "deploy_temperature",
        "top_p": "val_top_p",
        "max_tokens": "val_max_tokens",
    },
    "val_metrics_config": {"pass_k_values": "pass_k_values", "success_threshold": "success_threshold"},
    "eval_metrics_config": {"pass_k_values": "pass_k_values", "success_threshold": "success_threshold"},
    "schedule": {
        "epochs": "max_epochs",
        "max_steps": "max_steps",
        "save_every": "save_every",
        "val_every": "val_every",
        "val_at_start": "val_at_start",
    },
    "model": {
        "model_name": "model_name",
        "max_sequence_length": "max_sequence_length",
        "lora_rank": "lora_rank",
        "lora_alpha": "lora_alpha",
        "lora_plus_lr_ratio": "lora_plus_lr_ratio",
        "learning_rate": "learning_rate",
        "adam_beta1": "adam_beta1",
        "adam_beta2": "adam_beta2",
        "adam_eps": "adam_eps",
        "weight_decay": "weight_decay",
        "grad_clip_norm": "grad_clip_norm",
    },
    "rollout": {
        "max_concurrency": "rollout_max_concurrency",
        "timeout": "rollout_timeout",
        "max_retries": "rollout_max_retries",
        "rollout_tps": "rollout_tps",
    },
    "async_config": {"max_steps_off_policy": "max_steps_off_policy"},
    "data_filter": {
        "max_filter_rate": "max_filter_rate",
        "max_repeated_tokens": "max_repeated_tokens",
        "max_ngram_size": "max_ngram_size",
        "reward": "filter_reward",
    },
}
"""Section of an AWS recipe file → key in it → the setting's flat name."""

EVALUATION_TEMPERATURE = "eval_sampling_params.temperature"
"""Of an evaluation; of validation too, where nothing says how that samples."""

SYNONYMS = {
    "model_name_or_path": "model_name",
    "data_path": "training_dataset",
    "adam_weight_decay": "weight_decay",
    "adam_grad_clip_norm": "grad_clip_norm",
    "eval_batch_size": "test_tasks",
    "eval_rollouts_per_task": "eval_group_size",
}
"""Other flat names; all but the last are those of AWS's job hyperparameters."""

SPELLINGS = SYNONYMS | {f"{section}.{key}": name for section, keys in SECTIONS.items() for key, name in keys.items()}
"""Every spelling that is not the flat name itself → the flat name."""
