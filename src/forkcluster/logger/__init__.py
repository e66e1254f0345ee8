"""The logger: takes what an app prints from its pipes, stamps it, writes it to files and rotates them."""
