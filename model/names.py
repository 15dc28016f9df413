"""Names of the models that can paint slides."""

PUBLISHED = ("zoomldm-brca", "zoomldm-naip", "pixcell-256", "pixcell-1024")
"""Models whose weights others published."""
MODELS = ("mini", "speckle", *PUBLISHED)
