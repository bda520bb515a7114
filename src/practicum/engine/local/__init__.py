"""The local engine: PyTorch, Transformers and PEFT on one machine, CPU or GPU."""
