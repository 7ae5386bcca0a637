"""A site with topics: what publishers publish to, and the tutorial's consumer beside the chat."""
