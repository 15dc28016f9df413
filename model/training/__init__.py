"""What makes the weights of `mini`: real images, the loss, and the loop. Never imported when a slide is painted."""
