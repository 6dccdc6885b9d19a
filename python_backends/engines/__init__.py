"""Inference libraries behind two protocols: `EncoderEngine` and `LlmEngine`."""
