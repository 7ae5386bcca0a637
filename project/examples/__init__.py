"""Small apps that show one part of the package each; `/examples/` lists them."""
