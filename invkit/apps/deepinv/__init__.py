"""Between invkit and other libraries: their parts as components, and recipes as parts of theirs."""
