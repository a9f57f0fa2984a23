"""The parsers of formats that need a child process. They run there alone, and import nothing of hookrag's core."""
