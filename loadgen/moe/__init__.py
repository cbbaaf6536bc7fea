"""What a Mixture-of-Experts model is made of: sizes, parameters and bytes, from its configuration alone."""
