"""GRPO steps by TRL's ``GRPOTrainer`` on the demo's desk: ``python trl_steps.py MODEL STEPS`` prints JSON lines.

The same model, prompts, tools, reward, groups and minibatches as ours. TRL's tokenizer is given a template and a
parser for the form in which this model writes calls, so that both see the same tokens.
"""

import json
import os
import sys
import tempfile
import time
from typing import Any

os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"

import torch
import transformers
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from practicum.rollout.agents import opening
from practicum.rollout.calls import tools_text
from practicum.rollout.renderer import make_renderer
from practicum.tasks import Task
from practicum.trajectory import Rollout
from trainer.noisy_desk import SupportDesk, reward

PROMPTS, GROUP, MINIBATCHES, MICRO_BATCH = 16, 4, 2, 16
LONGEST = 160
"""Tokens of a completion: calls, results and answer."""
TEMPLATE = (
    "{%- for message in messages -%}<|im_start|>{{ message.role + '\\n' }}"
    "{%- if message.tool_calls -%}[{%- for call in message.tool_calls -%}{{ call.function.name }}("
    "{%- for name, value in call.function.arguments.items() -%}{{ name }}={{ value | tojson }}{%- endfor -%})"
    "{%- endfor -%}]{%- else -%}{{ message.content }}{%- endif -%}<|im_end|>{{ '\\n' }}{%- endfor -%}"
    "{%- if add_generation_prompt -%}<|im_start|>assistant{{ '\\n' }}{%- endif -%}"
)


class Desk:
    """Our environment behind TRL's interface."""

    def reset(self, task: str, **_: Any) -> None:
        """Begin an episode."""
        self.at = Task(**json.loads(task))
        self._environment = SupportDesk(level=2)
        self._environment.reset(self.at, 0)

    def get_ticket(self, ticket_id: str) -> str:
        """a ticket's account, topic, severity

        Args:
            ticket_id: Which.
        """
        return self._environment.call("get_ticket", {"ticket_id": ticket_id}).text

    def get_account(self, account_id: str) -> str:
        """an account's region, plan or contract

        Args:
            account_id: Which.
        """
        return self._environment.call("get_account", {"account_id": account_id}).text

    def search_articles(self, topic: str) -> str:
        """help articles on a topic

        Args:
            topic: Which.
        """
        return self._environment.call("search_articles", {"topic": topic}).text


class Tokenizer(transformers.PreTrainedTokenizerFast):  # type: ignore[misc]
    """With this model's way to write calls."""

    schemas: Any = None

    def parse_response(self, response: Any, **_: Any) -> dict[str, Any]:
        """Sampled tokens as a message."""
        parsed = make_renderer(self, "smollm2-135m").parse_response(list(response), tools=self.schemas)
        message: dict[str, Any] = {"role": "assistant", "content": parsed.content}
        calls = [call for call in parsed.tool_calls if call.name and call.arguments is not None]
        if calls:
            functions = [{"name": call.name, "arguments": dict(call.arguments)} for call in calls]
            message["tool_calls"] = [{"type": "function", "function": function} for function in functions]
        return message


def main() -> None:
    """Train, and print seconds and tokens of each of our steps (two of TRL's optimizer steps)."""
    model, steps = sys.argv[1], int(sys.argv[2])
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    environment = SupportDesk(level=2)
    tokenizer = Tokenizer.from_pretrained(model)
    tokenizer.chat_template, tokenizer.padding_side = TEMPLATE, "left"
    tokenizer.response_template, tokenizer.schemas = "compact", environment.schemas()
    rows = [row(environment, task) for task in environment.tasks("train")[: PROMPTS * steps]]
    seen = tokenizer.apply_chat_template(rows[0]["prompt"], add_generation_prompt=True, return_dict=False)
    task = environment.tasks("train")[0]
    ours = make_renderer(tokenizer, "smollm2-135m").render_ids(
        opening(environment, task), tools=environment.schemas(), add_generation_prompt=True
    )
    if seen != ours:
        raise SystemExit("the two prompts differ")
    with tempfile.TemporaryDirectory() as folder:
        trainer = GRPOTrainer(
            model=model,
            args=config(folder, steps),
            train_dataset=Dataset.from_list(rows),
            reward_funcs=[rewards],
            processing_class=tokenizer,
            environment_factory=Desk,
            callbacks=[Clock()],
        )
        trainer.train()


def row(environment: SupportDesk, task: Task) -> dict[str, Any]:
    """One line of the data set."""
    messages = opening(environment, task)
    messages[0]["content"] += "\n" + tools_text(environment.schemas(), "pythonic")
    asked = {"id": task.id, "prompt": task.prompt, "answer": dict(task.answer or {})}
    return {"prompt": messages, "task": json.dumps(asked)}


def rewards(prompts: Any, completions: Any, environments: Any, **_: Any) -> list[float]:
    """Our reward of each completion."""
    del prompts
    return [
        reward(Rollout(desk.at, tuple(completion), (), {}, "final"))
        for completion, desk in zip(completions, environments, strict=True)
    ]


def config(folder: str, steps: int) -> GRPOConfig:
    """As the demo's recipe, in TRL's words."""
    return GRPOConfig(
        output_dir=folder,
        max_steps=steps * MINIBATCHES,
        per_device_train_batch_size=MICRO_BATCH,
        gradient_accumulation_steps=PROMPTS * GROUP // MINIBATCHES // MICRO_BATCH,
        steps_per_generation=PROMPTS * GROUP // MICRO_BATCH,
        num_generations=GROUP,
        max_completion_length=LONGEST,
        max_tool_calling_iterations=4,
        temperature=1.0,
        top_p=1.0,
        top_k=0,
        beta=0.0,
        learning_rate=1.5e-5,
        lr_scheduler_type="constant",
        adam_beta2=0.95,
        max_grad_norm=1.0,
        model_init_kwargs={"dtype": "bfloat16"},
        bf16=True,
        gradient_checkpointing=False,
        use_cpu=True,
        shuffle_dataset=False,
        logging_steps=1,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        seed=0,
    )


class Clock(transformers.TrainerCallback):  # type: ignore[misc]
    """Prints what each step took."""

    def __init__(self) -> None:
        self._began = time.perf_counter()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """After each optimizer step."""
        del args, control
        if state.global_step % MINIBATCHES:
            self._first = logs
            return
        now = time.perf_counter()
        tokens = self._first.get("completions/mean_length", 0) * PROMPTS * GROUP
        told = {"seconds": now - self._began, "sampled": tokens, "reward": self._first.get("reward")}
        print(json.dumps(told), flush=True)
        self._began = now


if __name__ == "__main__":
    main()
