"""Tags that the templates of a site may load."""
