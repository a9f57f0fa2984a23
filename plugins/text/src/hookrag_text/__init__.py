"""What chunkers, readers and generators know of text: sentences, and characters as people count them."""
