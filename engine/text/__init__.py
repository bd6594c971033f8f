"""The text format: the lexer and literals that the script reader uses, and the printer of modules (spec: text)."""
