"""Where families' chat templates part from what training renders: ``python benchmarks/families.py FOLDER`` (a minute).

FOLDER holds the templates as TRL's package carries them (``trl/chat_templates`` of its wheel). Each is compared on six
conversations, token by token, with the family's renderer, over the small model's tokenizer with the family's special
tokens added: the families' own tokenizers are in no package. Prints a line for each.
"""

import argparse
import copy
import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import transformers as tf

from practicum.engine.local.models import SMOLLM2, find_model
from practicum.rollout.chat_template import template_difference
from practicum.rollout.renderer import make_renderer

FAMILIES = {
    "Qwen/Qwen3-8B": ("qwen3", "qwen3"),
    "Qwen/Qwen3-4B-Instruct-2507": ("qwen3_instruct_2507", "qwen3"),
    "Qwen/Qwen3.5-0.8B": ("qwen3_5_nothink", "qwen35"),
    "Qwen/Qwen3.5-4B": ("qwen3_5_think", "qwen35"),
    "Qwen/Qwen3.6-35B-A3B": ("qwen3_6", "qwen36"),
    "Qwen/Qwen3.8-27B": ("qwen3_8", "qwen38"),
    "zai-org/GLM-4.5-Air": ("glm4moe", "glm45"),
    "google/gemma-4-E2B-it": ("gemma4", "gemma4"),
    "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16": ("nemotron_3_nano", "nemotron3"),
    "meta-llama/Llama-3.2-1B-Instruct": ("llama3_2", "llama_3"),
    "deepseek-ai/DeepSeek-V3": ("deepseekv3", "deepseek_v3"),
}
"""Name on the hub: the file of its template, and the module of ``renderers`` that renders it."""
FIRST = {"google": "<bos>", "meta-llama": "<|begin_of_text|>", "deepseek-ai": "<｜begin▁of▁sentence｜>"}
"""Token that a maker's conversations begin with, which a template names only by its part."""
MARK = re.compile(r"<\|[^|>\s]+\|>|<｜[^｜>\s]+｜>|<\|[a-z\"_]+>|<[a-z\"_]+\|>|</?[a-z_]+>|\[gMASK\]")
"""What a template and its renderer may take for one token."""


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    plain = tf.AutoTokenizer.from_pretrained(find_model(SMOLLM2))
    for name, (file, module) in FAMILIES.items():
        template = (folder / f"{file}.jinja").read_text(encoding="utf-8")
        source = inspect.getsource(importlib.import_module(f"renderers.{module}"))
        marks = {*MARK.findall(template), *MARK.findall(source)}
        print(f"{name}: {compared(plain, name, template, marks)}", flush=True)


def compared(plain: Any, name: str, template: str, marks: set[str]) -> str:
    """The first difference of one family, or that there is none; ``marks`` become tokens."""
    tokenizer = copy.deepcopy(plain)
    tokenizer.unk_token, tokenizer.chat_template = None, template
    first = FIRST.get(name.partition("/")[0])
    tokenizer.add_special_tokens({"additional_special_tokens": sorted({*marks, *filter(None, [first])})})
    tokenizer.bos_token = first or tokenizer.bos_token
    renderer = make_renderer(tokenizer, name)
    if tokenizer.chat_template != template:
        return "its renderer is not known by this name"
    return template_difference(tokenizer, renderer) or "equal"


if __name__ == "__main__":
    main()
