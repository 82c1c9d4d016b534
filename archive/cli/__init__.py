"""The command line: one file a command group; a command parses, calls one function and prints."""
