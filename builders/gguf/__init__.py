"""GGUF checkpoints, as llama.cpp writes them: turned into Hugging Face folders."""
