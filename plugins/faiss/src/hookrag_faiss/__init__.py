"""Dense vectors in files of their own for hookrag."""
