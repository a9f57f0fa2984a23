"""The components that the core itself offers: those that only combine others, middleware, and readers of plain text."""
