"""Training of the small models in trained_models/; needs torch, tokenizers and transformers, and nothing of loadgen's dependencies."""
