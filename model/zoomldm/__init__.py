"""ZoomLDM (Yellapragada et al., CVPR 2025) whole: networks, published checkpoints, samplers, joint sampling, inversion.

Paper symbols: z_t latents at time t, u embedding grid, c the Summarizer's output (65 tokens), eps noise, w guidance
(scale 1 + w), alpha_bar, beta, zeta, delta, lambda_. Latents are (B, 3, h, w), images (B, 3, 4h, 4w) in [-1, 1];
everything here is floats on tensors, and what is painted becomes uint8 tiles only in
`everslide.model.zoomldm.painting`.
"""
