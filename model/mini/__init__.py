"""`mini`, the built-in model, whole: its network, its sampler, its weights on disk, and the encoder of reference
pictures. How it is trained is in `everslide.model.training`."""
