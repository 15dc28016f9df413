"""What `mini` is told beside the parent's pixels: which tissue this is, as embeddings of its 20x patches."""
