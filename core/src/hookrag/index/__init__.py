"""An index as a whole: who made it, whether it may be searched or written, and making it anew."""
