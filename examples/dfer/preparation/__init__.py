"""Turn videos into clips of one face each, in several processes."""
