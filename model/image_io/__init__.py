"""Images that people have, read as they look and at a wanted resolution, or refused with the reason."""
