"""Reading of users' images and whole-slide files as RGB at a wanted resolution. What cannot be read is refused, with
the reason."""
