"""What templates of a site may load."""
